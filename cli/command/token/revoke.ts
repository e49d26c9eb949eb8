import type { Command } from 'commander';
import { revokeTokens } from '#broker/operator/tenant/revoke-tokens.ts';
import type { Context } from '#cli/command/context.ts';

export function revokeTokensCommand(context: Context): Command {
  return context
    .command('revoke', 'end every token that a tenant holds, on every broker within 2 s; its credentials stay', [
      ['postern token revoke --tenant acme', 'its next exchange gets a new token'],
    ])
    .requiredOption('--tenant <tenant>', 'whose')
    .action(
      context.vaultAction<{ tenant: string }>(async ({ access, options, output }) => {
        const done = await revokeTokens(access, options.tenant);
        output.result(
          { revoked: true, ...done },
          `Every token of ${done.tenant} is ended, ${done.cached_tokens} cached; announced to the brokers (announcement ${done.epoch}).`,
        );
        output.note('Services that verify by key set alone accept what was handed out until it expires: see `postern tenant show`.');
      }),
    );
}
