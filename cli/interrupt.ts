/** Ctrl-C and its like, as an AbortSignal. */
export interface Interrupt {
  signal: AbortSignal;
  /** Exit code by the shell's custom once a signal has come: 130 for SIGINT, 143 for SIGTERM; else 0. */
  readonly exitCode: number;
  [Symbol.dispose](): void;
}

export interface InterruptOptions {
  /** The first one has come: the moment to say so. */
  told?: () => void;
  /** Another one has come: ends what runs at once, and the process then ends. Default: the process ends without. */
  again?: () => Promise<void>;
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

interface Watcher extends InterruptOptions {
  controller: AbortController;
  exitCode: number;
}

/** Whoever watches in this process, the innermost last: that one knows what is to be ended. */
const watchers: Watcher[] = [];
let ending = false;

const handlers = Object.entries(EXIT_CODES).map(([name, code]) => [name, () => receive(name, code)] as const);

function receive(name: string, code: number): void {
  const first = watchers.filter(({ exitCode }) => exitCode === 0);
  for (const watcher of first) {
    watcher.exitCode = code;
    watcher.told?.();
    watcher.controller.abort(new Interrupted(name));
  }
  const last = watchers.at(-1);
  if (last === undefined || first.includes(last) || ending) return;
  ending = true;
  if (last.again === undefined) process.exit(last.exitCode);
  void last.again().finally(() => process.exit(last.exitCode));
}

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that all can be stopped in order. A second one ends the process
 * as soon as `again` has ended what it runs; what comes after that changes nothing.
 */
export function watchInterrupt(options: InterruptOptions = {}): Interrupt {
  const watcher: Watcher = { ...options, controller: new AbortController(), exitCode: 0 };
  if (watchers.length === 0) for (const [name, handler] of handlers) process.on(name, handler);
  watchers.push(watcher);
  return {
    signal: watcher.controller.signal,
    get exitCode() {
      return watcher.exitCode;
    },
    [Symbol.dispose]() {
      const at = watchers.indexOf(watcher);
      if (at !== -1) watchers.splice(at, 1);
      if (watchers.length === 0) for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}

export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(signal: string) {
    super(`interrupted by ${signal}`);
  }
}
