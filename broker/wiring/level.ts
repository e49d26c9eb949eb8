import { PosternError } from '#broker/error.ts';

/** The log's level for a failed request: a client's mistake at debug, what an operator must mend at error. */
export function levelOf(error: unknown): 'debug' | 'warn' | 'error' {
  if (!(error instanceof PosternError)) return 'error';
  if (error.code === 'misconfigured') return 'error';
  return error.status >= 500 ? 'warn' : 'debug';
}
