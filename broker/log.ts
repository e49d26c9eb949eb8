import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { OwnError } from './error.ts';

export type { Logger } from 'pino';

/** A last net under the rule that nothing secret is handed to the log in the first place. */
const REDACT = [
  'secret_id',
  'client_secret',
  'access_token',
  'token',
  'client_token',
  'authorization',
  'headers',
  'body',
  'password',
  'jwt',
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

export interface Destination extends DestinationStream {
  /** Writes what is left, before the process ends. Never throws. */
  flushSync(): void;
}

/** Most bytes held back while they cannot be written; what comes then is lost. */
const MAX_HELD = 64 * 1024 * 1024;
/** Between two tellings of the same trouble, ms. */
const TELL_AGAIN = 10_000;

/**
 * Where lines go, written in the background. A full disk ends no process: lines are held back, and written when
 * there is room again.
 * @param target a file descriptor or a file's path
 * @param onError told at most each 10 s
 */
export function createDestination(target: number | string, onError: (error: unknown) => void = () => {}): Destination {
  const destination = pino.destination({ dest: target, sync: false, mkdir: true, append: true, maxLength: MAX_HELD });
  let toldAt = Number.NEGATIVE_INFINITY;
  const tell = (error: unknown): void => {
    const now = performance.now();
    if (now - toldAt < TELL_AGAIN) return;
    toldAt = now;
    onError(error);
  };
  let failing = false;
  let given = false;
  destination.on('error', (error) => {
    failing = true;
    tell(error);
  });
  destination.on('write', () => (failing = false));
  const flushSync = (): void => {
    if (given) return;
    try {
      // sonic-boom's own flushSync tries a full disk again for ever.
      if (failing) {
        given = true;
        destination.destroy();
      } else destination.flushSync();
    } catch (error) {
      tell(error);
    }
  };
  // Before pino's own listener, which would flush.
  process.prependListener('exit', flushSync);
  return { write: (line) => void (given || destination.write(line)), flushSync };
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
  readonly #destination: Destination;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(destination: Destination) {
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

/**
 * What of an error may stand in a log. Errors of other packages are never told whole, since theirs carry requests: of
 * those only the class, the code and where it happened.
 */
export function describeError(error: unknown): Record<string, unknown> {
  if (error instanceof OwnError) return error.describe();
  if (!(error instanceof Error)) return { type: typeof error };
  const { name, code } = error as NodeJS.ErrnoException;
  return { type: wordOf(name), code: wordOf(code), at: framesOf(error) };
}

/** Names and codes are words; anything longer may be a message. */
function wordOf(text: unknown): string | undefined {
  return typeof text === 'string' && /^\w{1,64}$/.test(text) ? text : undefined;
}

const FRAME = /^at (?:[\w$.<>#[\] ]{1,80} \()?(?:file:\/\/|node:|\/)[^\s()]+:\d+:\d+\)?$/;

/** The stack without the message, which stands at its head and may have lines that look like frames. */
function framesOf({ stack, message }: Error): string[] {
  if (typeof stack !== 'string') return [];
  const frames = typeof message === 'string' && message !== '' ? (stack.split(message).at(-1) ?? '') : stack;
  return frames
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => FRAME.test(line))
    .slice(0, 8);
}
