/** Ctrl-C and its like, as an AbortSignal. */
export interface Interrupt {
  signal: AbortSignal;
  /** Exit code by the shell's custom once a signal has come: 130 for SIGINT, 143 for SIGTERM; else 0. */
  readonly exitCode: number;
  [Symbol.dispose](): void;
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that all can be stopped in order. A
 * second one ends the process at once; the reaper then ends its children.
 */
export function watchInterrupt(): Interrupt {
  const controller = new AbortController();
  let exitCode = 0;
  const handlers = Object.entries(EXIT_CODES).map(([name, code]) => {
    const handler = (): void => {
      if (exitCode !== 0) process.exit(code);
      exitCode = code;
      controller.abort(new Interrupted(name));
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]() {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}

export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(signal: string) {
    super(`interrupted by ${signal}`);
  }
}

/**
 * The work's result, or the signal's reason soon after it aborts. For work that can't be told to
 * stop, or that goes on to something long when its child is interrupted (a part that is looked for
 * elsewhere, a build of minutes): we stop waiting for it.
 *
 * @param grace milliseconds that the work gets to end by itself after the abort
 */
export async function abortable<T>(signal: AbortSignal | undefined, work: () => Promise<T>, grace = 0): Promise<T> {
  if (!signal) return work();
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => void (timer = setTimeout(() => reject(signal.reason), grace));
  signal.addEventListener('abort', abort, { once: true });
  try {
    const result = await Promise.race([work(), promise]);
    signal.throwIfAborted();
    return result;
  } catch (error) {
    // What an interrupted child had to say is of no interest then.
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
