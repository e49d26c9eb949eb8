import { PosternError } from './error.ts';
import { VaultFault } from './vault/fault.ts';

/**
 * What of an error may stand in a log. Errors of other packages are never told whole, since theirs carry requests: of
 * those only the class, the code and where it happened.
 */
export function describeError(error: unknown): Record<string, unknown> {
  if (error instanceof PosternError) return { code: error.code, message: error.message, detail: error.detail };
  if (error instanceof VaultFault) return { code: `vault_${error.reason}`, message: error.message };
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
  return frames.split('\n').map((line) => line.trim()).filter((line) => FRAME.test(line)).slice(0, 8);
}
