import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { dropCache } from '#broker/operator/tenant/cache-entries.ts';
import type { Context } from '#cli/command/context.ts';
import { confirm } from '#cli/command/secret-input.ts';

export function dropCommand(context: Context): Command {
  return context
    .command('drop', "throw a tenant's cached tokens away: the next one comes from the issuer", [
      ['postern cache drop acme --api orders', 'of one API; asks first'],
      ['postern cache drop acme --yes', 'of all; does not ask'],
    ])
    .argument('<tenant>')
    .option('--api <api>', 'of this API alone, by its name')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nA broker that has one in memory goes on with it until it ends, and nothing is ended by this: `postern token revoke` does that.\n' +
        'Each API costs one token of the issuer (with Auth0 one of your quota) at the next exchange.',
    )
    .action(
      context.vaultAction<{ api?: string; yes?: boolean }, [string]>(async ({ access, options, output, terminal }, tenant) => {
        const { api, yes } = options;
        const question = `Throw the cached tokens of ${tenant}${api === undefined ? '' : ` for ${api}`} away?`;
        if (yes !== true && !(await confirm(terminal, question))) throw new PosternError('invalid_request', 'Nothing was changed');
        const dropped = await dropCache(access, tenant, api);
        output.result({ tenant, api: api ?? null, dropped }, `${dropped} cached token${dropped === 1 ? '' : 's'} of ${tenant} dropped.`);
      }),
    );
}
