import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import { clockOf } from './clock.ts';
import type { Clocks } from './clock.ts';

export interface BreakerOptions extends Clocks {
  /** How much an error counts as "nobody answers": 0 for an answer, whatever it says; 2 where it also used up a time-out. */
  weightOf: (error: unknown) => number;
  /** What is thrown in place of asking. @param retryAfter seconds */
  refusal: (retryAfter: number) => Error;
  /** Told when it opens, and when it closes again. */
  onChange?: (open: boolean) => void;
  /** Time from opening to the next probe, ms. Default 500. */
  resetMs?: number;
  /**
   * Whether somebody tries by and by, though no client comes. Where nobody does, failures of some seconds ago say nothing any more, and
   * whoever comes then may ask. Default false.
   */
  probed?: boolean;
}

/** So much weight without an answer in between opens it, however few calls there are. */
const IN_A_ROW = 8;
/** Else half of all calls of so many ms, and no fewer than this many. What failed before them doesn't count. */
const WINDOW = 4_000;
const BUCKETS = 4;
const LEAST_CALLS = 16;
/** Of the probes of one who tries by and by, as many as belong together: what is looked at in one look is known only when all of it is. */
const TOGETHER = 8;
/** opossum's own timer is the real one, which a simulation can't move: when to try again is decided here. */
const NEVER = 2 ** 31 - 1;

/**
 * A circuit breaker (opossum) before somebody else's service: while nobody answers there, who asks is told at once. Calls that probe may
 * try when some time has passed; where a client waits it is not the one who tries.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #monotonic: () => number;
  readonly #breaker: CircuitBreaker<[() => Promise<unknown>]>;
  /** Turns opossum's window on, by our clock. */
  readonly #window = new EventEmitter();
  #turnedAt: number;
  #inARow = 0;
  #failedAt = -Infinity;
  /** When one may try next; of an open one. */
  #tryAt = 0;
  /** How many do. */
  #trying = 0;
  #told = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#monotonic = clockOf(options).monotonic;
    this.#turnedAt = this.#monotonic();
    this.#breaker = new CircuitBreaker((call: () => Promise<unknown>) => call(), {
      timeout: false,
      resetTimeout: NEVER,
      rollingCountTimeout: WINDOW,
      rollingCountBuckets: BUCKETS,
      rotateBucketController: this.#window,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      volumeThreshold: LEAST_CALLS,
      errorThresholdPercentage: 50,
      errorFilter: (error: unknown) => options.weightOf(error) === 0,
    });
    this.#breaker.on('open', () => {
      this.#tryAt = this.#monotonic() + this.#resetMs;
      this.#tell(true);
    });
    this.#breaker.on('close', () => this.#tell(false));
  }

  /** Whether nobody is asked now, but by a probe. */
  get open(): boolean {
    this.#forget();
    return this.#isOpen;
  }

  /** Whether a call that probes would be let through now. */
  get mayTry(): boolean {
    return !this.open || this.#mayTry;
  }

  get #isOpen(): boolean {
    return !this.#breaker.closed;
  }

  get #resetMs(): number {
    return this.#options.resetMs ?? 500;
  }

  /**
   * @param probes whether this call may be the one that tries
   * @throws what `call` throws; while it is open, what `refusal` gives
   */
  async run<T>(call: () => Promise<T>, probes: boolean): Promise<T> {
    if (this.open) return this.#try(call, probes);
    try {
      const answer = (await this.#breaker.fire(call)) as T;
      this.#answered();
      return answer;
    } catch (error) {
      // It opened between our look and opossum's.
      if ((error as { code?: unknown }).code === 'EOPENBREAKER') throw this.refusal();
      const weight = this.#options.weightOf(error);
      if (weight === 0) this.#answered();
      else {
        this.#inARow += weight;
        this.#failedAt = this.#monotonic();
        if (this.#inARow >= IN_A_ROW && !this.#isOpen) this.#breaker.open();
      }
      throw error;
    }
  }

  async #try<T>(call: () => Promise<T>, probes: boolean): Promise<T> {
    if (!probes || !this.#mayTry) throw this.refusal();
    this.#trying++;
    try {
      const answer = await call();
      this.#answered();
      return answer;
    } catch (error) {
      if (this.#options.weightOf(error) === 0) this.#answered();
      else {
        this.#failedAt = this.#monotonic();
        this.#tryAt = this.#failedAt + this.#resetMs;
      }
      throw error;
    } finally {
      this.#trying--;
    }
  }

  /**
   * Clients try one at a time, when some time has passed. Who tries by and by has a pace of its own, and is never kept waiting by what
   * others' calls met: it would not learn what was revoked.
   */
  get #mayTry(): boolean {
    if (this.#options.probed === true) return this.#trying < TOGETHER;
    return this.#trying === 0 && this.#monotonic() >= this.#tryAt;
  }

  /** Whatever was asked when: somebody answers there, and what failed before is over. */
  #answered(): void {
    this.#inARow = 0;
    if (this.#isOpen) this.#renew();
  }

  /** What failed too long ago. */
  #forget(): void {
    const now = this.#monotonic();
    for (; now - this.#turnedAt >= WINDOW / BUCKETS; this.#turnedAt += WINDOW / BUCKETS) {
      if (now - this.#turnedAt >= 2 * WINDOW) this.#turnedAt = now - WINDOW;
      this.#window.emit('rotate');
    }
    if (this.#trying > 0 || now - this.#failedAt < WINDOW) return;
    this.#inARow = 0;
    if (this.#isOpen && this.#options.probed !== true) this.#renew();
  }

  #renew(): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) this.#window.emit('rotate');
    this.#breaker.close();
  }

  /** What is thrown in place of asking. */
  refusal(): Error {
    return this.#options.refusal(Math.max(1, Math.ceil((this.#tryAt - this.#monotonic()) / 1000)));
  }

  /** A probe that fails opens it once more, which is no news. */
  #tell(open: boolean): void {
    if (open === this.#told) return;
    this.#told = open;
    this.#options.onChange?.(open);
  }

  /** Ends its timers. */
  stop(): void {
    this.#breaker.shutdown();
  }
}
