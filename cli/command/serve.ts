import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { Context } from './context.ts';

export function serveCommand(context: Context): Command {
  return context
    .command('serve', 'run the broker, configured by its environment (docs/reference.md), until SIGTERM', [
      [
        'POSTERN_ISSUER=https://tokens.example.com/ VAULT_ADDR=… POSTERN_ROLE_ID=… POSTERN_SECRET_ID_FILE=… postern serve',
        'at least these',
      ],
      ['postern serve >> audit.jsonl', 'the log goes to stderr, one audit event an exchange to stdout (or POSTERN_AUDIT_FILE)'],
    ])
    .action(
      context.action(async ({ terminal }) => {
        if (terminal.serve === undefined) throw new PosternError('misconfigured', 'The broker is not a part of this program');
        await terminal.serve();
      }),
    );
}
