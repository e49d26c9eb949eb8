import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { Finding } from '#broker/finding.ts';
import type { Call, Context } from './context.ts';

export function serveCommand(context: Context): Command {
  return context
    .command('serve', 'run the broker, configured by its environment (docs/reference.md), until SIGTERM', [
      [
        'POSTERN_ISSUER=https://tokens.example.com/ VAULT_ADDR=… POSTERN_ROLE_ID=… POSTERN_SECRET_ID_FILE=… postern serve',
        'at least these',
      ],
      ['postern serve >> audit.jsonl', 'the log goes to stderr, one audit event an exchange to stdout (or POSTERN_AUDIT_FILE)'],
      [
        'postern serve --check',
        'look at the configuration, files, ports and Vault, and end: 0 all is well, 6 a fault, 5 Vault can not be asked',
      ],
      ['postern serve --check --login', 'try the secret_id, too, which spends a use of it where these are limited'],
    ])
    .option('--check', 'look whether it could start, use nothing up, and end')
    .option('--login', 'with --check: log in by AppRole, too, which spends one use of the secret_id')
    .action(
      context.action<{ check?: boolean; login?: boolean }>(async (call) => {
        const { terminal, options } = call;
        if (terminal.serve === undefined || terminal.check === undefined)
          throw new PosternError('misconfigured', 'The broker is not a part of this program');
        if (options.check === true) return tell(call, await terminal.check({ login: options.login }));
        if (options.login === true) throw new PosternError('invalid_request', '--login goes with --check');
        await terminal.serve();
      }),
    );
}

const MARKS = { ok: ['green', 'ok'], fault: ['red', 'fault'], unknown: ['yellow', 'unknown'] } as const;

function tell({ output, end }: Call, findings: readonly Finding[]): void {
  const lines = findings.map(({ what, state, detail }) => {
    const [colour, word] = MARKS[state];
    return `${output.style(colour, word.padEnd(7))} ${what}: ${detail}`;
  });
  output.result({ findings }, lines.join('\n'));
  if (findings.some(({ state }) => state === 'fault')) end(6);
  else if (findings.some(({ state }) => state === 'unknown')) end(5);
}
