import { PosternError } from '#broker/error.ts';
import type { Terminal } from '#cli/output.ts';

/** The audit that is meant: the one named, else POSTERN_AUDIT_FILE, else what is piped in. @throws {PosternError} invalid_request */
export function auditFile({ env, stdin }: Terminal, named: string | undefined): string {
  const file = named ?? (env['POSTERN_AUDIT_FILE'] || undefined) ?? (stdin.isTTY ? undefined : '-');
  if (file !== undefined) return file;
  throw new PosternError('invalid_request', 'Which audit?', {
    detail: 'Name its file, set POSTERN_AUDIT_FILE as for the broker, or pipe it in (journalctl -u postern -o cat | …).',
  });
}
