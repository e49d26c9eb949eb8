import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { confirm } from '#cli/command/secret-input.ts';
import type { Context } from '#cli/command/context.ts';

interface Options {
  all?: boolean;
  yes?: boolean;
}

export function revokeCommand(context: Context): Command {
  return context
    .command('revoke', 'end secret_ids for good, on every broker within 2 s', [
      ['postern secret revoke acme 6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55', 'one, by the accessor that `secret list` shows'],
      ['postern secret revoke acme --all --yes', 'every one: acme is out until a new one is issued'],
    ])
    .argument('<tenant>')
    .argument('[accessor...]')
    .option('--all', 'every secret_id of the tenant')
    .option('-y, --yes', 'do not ask (with --all)')
    .addHelpText(
      'after',
      `
It is destroyed at Vault first and then announced to the brokers. Interrupted in between, run the same command
again: it announces once more. Exit code 4 means that the tenant has no such accessor (any more).
Access tokens that were handed out go on until they expire.`,
    )
    .action(
      context.vaultAction<Options, [string, string[]]>(async ({ access, options, output, terminal, end }, tenant, accessors) => {
        if (options.all === true && accessors.length > 0) throw new PosternError('invalid_request', 'Name accessors or --all, not both');
        if (options.all !== true && accessors.length === 0)
          throw new PosternError('invalid_request', 'Which secret_id?', { detail: 'Name its accessor (postern secret list), or --all.' });
        if (options.all === true && options.yes !== true && !(await confirm(terminal, `Revoke every secret_id of ${tenant}?`)))
          throw new PosternError('invalid_request', 'Nothing was changed');
        const done = await revokeSecretId(access, {
          tenant,
          accessors: options.all === true ? 'all' : accessors,
          onProgress: output.counter('revoked'),
          signal: terminal.signal,
        });
        const { revoked, missing, epoch } = done;
        output.result(
          done,
          `${revoked.length} secret_id${revoked.length === 1 ? '' : 's'} of ${tenant} revoked, announced to the ` +
            `brokers (announcement ${epoch}).`,
        );
        if (missing.length === 0) return;
        // Shortened: a secret_id looks just like an accessor, and might have been given by mistake.
        output.note(`${tenant} has no ${missing.map((one) => `${one.slice(0, 8)}…`).join(', ')}: revoked before, ended, or never there.`);
        end(4);
      }),
    );
}
