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
