import type { Command } from 'commander';
import { settleRotations } from '#broker/operator/key/settle.ts';
import { settleReplacements } from '#broker/operator/secret/replacements.ts';
import { listTenants } from '#broker/operator/tenant/list.ts';
import type { Context } from '#cli/command/context.ts';

export function pruneCommand(context: Context): Command {
  return context
    .command('prune', 'destroy replaced keys and secret_ids whose end has come', [
      ['postern key prune acme', "one tenant's"],
      ['postern key prune --json', "every tenant's: for a nightly job"],
    ])
    .argument('[tenant]')
    .addHelpText(
      'after',
      '\nBrokers refuse such a key anyway; this takes it out of Vault too, as `key list`, `key issue` and `key rotate` do by the way.',
    )
    .action(
      context.vaultAction<object, [string | undefined]>(async ({ access, output, terminal }, tenant) => {
        const tenants =
          tenant === undefined
            ? (await listTenants(access, { signal: terminal.signal })).filter(({ role_id: id }) => id !== null).map((one) => one.tenant)
            : [tenant];
        const count = output.counter('tenants');
        const destroyed: { tenant: string; key_id: string }[] = [];
        const secrets: { tenant: string; accessor: string }[] = [];
        for (const [done, name] of tenants.entries()) {
          terminal.signal.throwIfAborted();
          for (const keyId of await settleRotations(access, name)) destroyed.push({ tenant: name, key_id: keyId });
          for (const accessor of await settleReplacements(access, name)) secrets.push({ tenant: name, accessor });
          count(done + 1, tenants.length);
        }
        output.result(
          { destroyed, secret_ids: secrets },
          destroyed.length + secrets.length === 0
            ? 'No replaced key or secret_id has come to its end.'
            : [...destroyed.map((one) => `${one.tenant}\t${one.key_id}`), ...secrets.map((one) => `${one.tenant}\t${one.accessor}`)].join(
                '\n',
              ),
        );
      }),
    );
}
