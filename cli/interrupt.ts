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
