import type { Destination } from './destination.ts';

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

  /** See {@link Destination.backlog}. */
  get backlog(): Destination['backlog'] {
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
