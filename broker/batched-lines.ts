/** Where lines go in the end. */
export interface LineSink {
  /** Bytes that wait to be written, and lines that were lost since the start. */
  readonly backlog: { readonly bytes: number; readonly lost: number };
  /** @param text one or more whole lines */
  write(text: string): void;
  /** @throws what opening does; the old one stays in use then */
  reopen(): void;
  drained(ms: number): Promise<void>;
  flushSync(): void;
}

/** Until a sink calls those who wait for it to have nothing left, or after `ms`. */
export async function idleWithin(waiting: (() => void)[], ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    waiting.push(resolve);
    timer = setTimeout(resolve, ms);
  });
  clearTimeout(timer);
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
  readonly #destination: LineSink;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(destination: LineSink) {
    this.#destination = destination;
  }

  get backlog(): LineSink['backlog'] {
    return this.#destination.backlog;
  }

  write(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= BATCH) this.#pass();
    else this.#timer ??= setTimeout(() => this.#pass(), BATCH_AGE).unref();
  }

  /** @throws what opening the file does; the old one stays in use then */
  reopen(): void {
    this.#destination.reopen();
  }

  /** Everything is written, or can't be, or `ms` are over. */
  async drained(ms: number): Promise<void> {
    this.#pass();
    await this.#destination.drained(ms);
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
