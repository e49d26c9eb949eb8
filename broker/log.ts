import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { PosternError } from './error.ts';
import { VaultFault } from './vault/fault.ts';

export type { Logger } from 'pino';

/** A last net under the rule that nothing secret is handed to the log in the first place. */
const REDACT = [
  'secret_id', 'client_secret', 'access_token', 'token', 'client_token', 'authorization', 'headers', 'body', 'password', 'jwt',
].flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/**
 * The broker's own log: JSON lines. Errors of other packages are never serialized whole, since theirs
 * carry requests: of those only the class, the code and where it happened are told.
 */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { name: 'postern' },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACT, censor: '[redacted]' },
      serializers: { err: describeError, error: describeError },
    },
    destination,
  );
}

export function describeError(error: unknown): Record<string, unknown> {
  if (error instanceof PosternError) return { code: error.code, message: error.message, detail: error.detail };
  if (error instanceof VaultFault) return { code: `vault_${error.reason}`, message: error.message };
  if (!(error instanceof Error)) return { type: typeof error };
  const at = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 8).map((line) => line.trim());
  return { type: error.name, code: (error as NodeJS.ErrnoException).code, at };
}

/**
 * Where lines go, collected and written in the background; `flush` writes what is left.
 * @param target a file descriptor or a file's path
 */
export function createDestination(target: number | string): DestinationStream & { flushSync(): void } {
  const destination = pino.destination({ dest: target, sync: false, minLength: 64 * 1024, maxWrite: 256 * 1024, periodicFlush: 200, mkdir: true, append: true });
  return destination;
}
