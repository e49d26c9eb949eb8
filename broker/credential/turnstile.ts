import { PosternError } from '#broker/error.ts';
import { FairLine } from '#broker/fair-line.ts';
import { Overloaded } from '#broker/overloaded.ts';

export interface TurnstileOptions {
  /** Pieces of work at once. Default 64, as many as there are sockets to Vault. */
  atOnce?: number | undefined;
  /** Those that may wait, of all that have more than their share. Default 2000. */
  queue?: number | undefined;
  /** Longest wait for a turn, ms. Default 4000. */
  patienceMs?: number | undefined;
  /** See {@link FairLine}. Default 0: only patience ends a wait. */
  waitMs?: number | undefined;
  /** Told of each that waited too long. */
  onShed?: (() => void) | undefined;
  /** ms of a clock that never goes back. */
  now?: (() => number) | undefined;
}

/** So many at once, so that what waits does so here, in a fair line, and not at Vault or in a thread pool until it is too late for all. */
export class Turnstile {
  readonly #atOnce: number;
  readonly #queue: number;
  readonly #patienceMs: number;
  readonly #onShed: (() => void) | undefined;
  /** Whoever waits in a later one lets those before go first. */
  readonly #lines: readonly FairLine<(mayRun: boolean) => void>[];
  #running = 0;

  constructor(options: TurnstileOptions = {}, lines = 1) {
    this.#atOnce = options.atOnce ?? 64;
    this.#queue = options.queue ?? 2000;
    this.#patienceMs = options.patienceMs ?? 4000;
    this.#onShed = options.onShed;
    const line = { waitMs: options.waitMs ?? 0, now: options.now ?? (() => performance.now()) };
    this.#lines = Array.from({ length: lines }, () => new FairLine(line));
  }

  /** Those that wait. */
  get waiting(): number {
    return this.#lines.reduce((sum, { length }) => sum + length, 0);
  }

  /** @throws what `work` throws; {PosternError} too_many_requests, {@link Overloaded}, both without running it */
  async run<T>(party: string, work: () => Promise<T>, line = 0): Promise<T> {
    await this.#turn(this.#lines[line]!, party);
    try {
      return await work();
    } finally {
      this.#running--;
      this.#next();
    }
  }

  async #turn(line: FairLine<(mayRun: boolean) => void>, party: string): Promise<void> {
    if (this.#running < this.#atOnce) {
      this.#running++;
      return;
    }
    if (line.length >= this.#queue && !this.#hasLess(line, party))
      throw new PosternError('too_many_requests', 'Too many requests', { retryAfter: 1 });
    if (await new Promise<boolean>((begin) => line.push(party, begin))) return;
    this.#onShed?.();
    throw new Overloaded('vault');
  }

  /** Whether the line is full of others' who have more than an equal share of it. */
  #hasLess(line: FairLine<unknown>, party: string): boolean {
    const own = line.lengthOf(party);
    return own + 1 <= this.#queue / (line.parties + (own === 0 ? 1 : 0));
  }

  #next(): void {
    while (this.#running < this.#atOnce) {
      const next = this.#take();
      if (next === undefined) return;
      const mayRun = next.waited <= this.#patienceMs;
      if (mayRun) this.#running++;
      next.item(mayRun);
    }
  }

  #take(): ReturnType<FairLine<(mayRun: boolean) => void>['take']> {
    for (const line of this.#lines) {
      const next = line.take();
      for (let stale = line.takeStale(); stale !== undefined; stale = line.takeStale()) stale(false);
      if (next !== undefined) return next;
    }
    return undefined;
  }
}
