import type { Command } from 'commander';
import { settleRotations } from '#broker/operator/key/settle.ts';
import { settleReplacements } from '#broker/operator/secret/replacements.ts';
import { rotatingTenants } from '#broker/operator/key/rotating.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { patiently } from '#broker/operator/patience.ts';
import { finishRevocations } from '#broker/operator/secret/unfinished.ts';
import { KEY_ID } from '#broker/vault/key-metadata.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import { tenantIndex } from '#broker/operator/tenant/list.ts';
import type { Context } from '#cli/command/context.ts';

export function pruneCommand(context: Context): Command {
  return context
    .command('prune', 'destroy replaced keys and secret_ids whose end has come, and those whose revocation broke off', [
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
        const tenants = tenant === undefined ? await rotatingTenants(access, [...(await tenantIndex(access)).roles]) : [tenant];
        const count = output.counter('tenants');
        let done = 0;
        // A few at once: each end is announced by check-and-set of one document.
        const ended = await inParallel(tenants, WIDTH, async (name) => {
          terminal.signal.throwIfAborted();
          const keys = await patiently(() => settleRotations(access, name));
          const accessors = await patiently(() => settleReplacements(access, name));
          count((done += 1), tenants.length);
          return {
            keys: keys.map((id) => ({ tenant: name, key_id: id })),
            secrets: accessors.map((accessor) => ({ tenant: name, accessor })),
          };
        });
        const finished = await patiently(() => finishRevocations(access, tenant));
        const destroyed = [
          ...ended.flatMap(({ keys }) => keys),
          ...finished.filter(({ id }) => KEY_ID.test(id)).map(({ tenant: of, id }) => ({ tenant: of, key_id: id })),
        ];
        const secrets = [
          ...ended.flatMap((one) => one.secrets),
          ...finished.filter(({ id }) => !KEY_ID.test(id)).map(({ tenant: of, accessor }) => ({ tenant: of, accessor })),
        ];
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
