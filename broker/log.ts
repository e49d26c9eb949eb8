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
 * Where lines go, written in the background.
 * @param target a file descriptor or a file's path
 */
export function createDestination(target: number | string): DestinationStream & { flushSync(): void } {
  return pino.destination({ dest: target, sync: false, mkdir: true, append: true });
}

/** Lines written together, at most. */
const BATCH = 128;
/** ms after which a line is written, alone or not. */
const BATCH_AGE = 100;

/**
 * Collects lines before they are written: measuring and copying each one by itself was a fifth of
 * a cached exchange.
 */
export class BatchedLines {
  readonly #destination: ReturnType<typeof createDestination>;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(destination: ReturnType<typeof createDestination>) {
    this.#destination = destination;
  }

  write(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= BATCH) this.#pass();
    else this.#timer ??= setTimeout(() => this.#pass(), BATCH_AGE).unref();
  }

  /** Before the process ends. */
  flushSync(): void {
    this.#pass();
    this.#destination.flushSync();
  }

  #pass(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#lines.length === 0) return;
    this.#destination.write(this.#lines.join(''));
    this.#lines = [];
  }
}
