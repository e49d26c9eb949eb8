import type { Command } from 'commander';
import { listCache } from '#broker/operator/tenant/cache-entries.ts';
import type { Context } from '#cli/command/context.ts';

export function listCommand(context: Context): Command {
  return context
    .command('list', 'for which tenants and APIs a token is cached', [
      ['postern cache list acme', "one tenant's"],
      ['postern cache list --json | jq -r ".entries[].tenant" | sort | uniq -c', 'how many each tenant has'],
    ])
    .argument('[tenant]')
    .addHelpText(
      'after',
      '\nSCOPES is all, or names a narrower set. An operator sees that there is one, and never reads it. One that has ended stays\n' +
        'until Vault cleans it up, or the next one takes its place. POSTERN_TOKEN_STORE=plugin has them in the secrets plugin instead.',
    )
    .action(
      context.vaultAction<object, [string | undefined]>(async ({ access, output }, tenant) => {
        const entries = await listCache(access, tenant);
        output.result(
          { entries },
          output.table(
            ['TENANT', 'API', 'SCOPES'],
            entries.map((entry) => [entry.tenant, entry.api, entry.digest ?? 'all']),
          ),
        );
        if (entries.length === 0) output.note('Nothing is cached there.');
      }),
    );
}
