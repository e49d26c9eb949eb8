import type { Command } from 'commander';
import { revokeTokens } from '#broker/operator/tenant/revoke-tokens.ts';
import { PosternError } from '#broker/error.ts';
import type { Context } from '#cli/command/context.ts';
import { confirm } from '#cli/command/secret-input.ts';

export function revokeTokensCommand(context: Context): Command {
  return context
    .command('revoke', 'end every token that a tenant holds, on every broker within 2 s; its credentials stay', [
      ['postern token revoke --tenant acme', 'its next exchange gets a new token; asks first'],
      ['postern token revoke --tenant acme --yes', 'in a script'],
    ])
    .requiredOption('--tenant <tenant>', 'whose')
    .option('-y, --yes', 'do not ask')
    .action(
      context.vaultAction<{ tenant: string; yes?: boolean }>(async ({ access, options, output, terminal }) => {
        const question = `End every token that ${options.tenant} holds? That can't be undone.`;
        if (options.yes !== true && !(await confirm(terminal, question))) throw new PosternError('invalid_request', 'Nothing was changed');
        const done = await revokeTokens(access, options.tenant);
        output.result(
          { revoked: true, ...done },
          `Every token of ${done.tenant} is ended, ${done.cached_tokens} cached; announced to the brokers (announcement ${done.epoch}).`,
        );
        output.note('Services that verify by key set alone accept what was handed out until it expires: see `postern tenant show`.');
      }),
    );
}
