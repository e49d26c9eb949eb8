import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { revokeKeys } from '#broker/operator/key/revoke.ts';
import type { Context } from '#cli/command/context.ts';
import { confirm } from '#cli/command/secret-input.ts';

interface Options {
  all?: boolean;
  yes?: boolean;
}

export function revokeCommand(context: Context): Command {
  return context
    .command('revoke', 'end API keys for good, on every broker within 2 s', [
      ['postern key revoke acme key_0f1e2d3c4b5a69788796a5b4', 'one, by the key id or accessor that `key list` shows'],
      ['postern key revoke acme --all --yes', 'every API key; plain secret_ids go on'],
    ])
    .argument('<tenant>')
    .argument('[key...]', 'key ids or accessors')
    .option('--all', 'every API key of the tenant')
    .option('-y, --yes', 'do not ask (with --all)')
    .addHelpText(
      'after',
      `
It is destroyed at Vault first and then announced to the brokers. Interrupted in between, run the same command
again: it announces once more. Exit code 4 means that the tenant has no such key (any more).
Access tokens that were handed out go on until they expire.`,
    )
    .action(
      context.vaultAction<Options, [string, string[]]>(async ({ access, options, output, terminal, end }, tenant, keys) => {
        if (options.all === true && keys.length > 0) throw new PosternError('invalid_request', 'Name keys or --all, not both');
        if (options.all !== true && keys.length === 0)
          throw new PosternError('invalid_request', 'Which key?', { detail: 'Name its key id or accessor (postern key list), or --all.' });
        if (options.all === true && options.yes !== true && !(await confirm(terminal, `Revoke every API key of ${tenant}?`)))
          throw new PosternError('invalid_request', 'Nothing was changed');
        const done = await revokeKeys(access, {
          tenant,
          keys: options.all === true ? 'all' : keys,
          onProgress: output.counter('revoked'),
          signal: terminal.signal,
        });
        const { revoked, missing, epoch } = done;
        output.result(
          done,
          epoch === null
            ? `${tenant} has no API key.`
            : `${revoked.length} API key${revoked.length === 1 ? '' : 's'} of ${tenant} revoked, announced to the ` +
                `brokers (announcement ${epoch}).`,
        );
        if (missing.length === 0) return;
        // Shortened: a secret_id looks just like an accessor, and might have been given by mistake.
        output.note(`${tenant} has no ${missing.map((one) => `${one.slice(0, 12)}…`).join(', ')}: revoked before, ended, or never there.`);
        end(4);
      }),
    );
}
