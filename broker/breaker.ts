import CircuitBreaker from 'opossum';

export interface BreakerOptions {
  /** How much an error counts as "nobody answers": 0 for an answer, whatever it says; 2 where it also used up a time-out. */
  weightOf: (error: unknown) => number;
  /** What is thrown in place of asking. @param retryAfter seconds */
  refusal: (retryAfter: number) => Error;
  /** Told when it opens, and when it closes again. */
  onChange?: (open: boolean) => void;
  /** Time from opening to the next probe, ms. Default 500. */
  resetMs?: number;
}

/** So much weight without an answer in between opens it, however few calls there are. */
const IN_A_ROW = 8;
/** Else half of all calls of so many ms, and no fewer than this many. */
const WINDOW = 4_000;
const LEAST_CALLS = 16;

/**
 * A circuit breaker (opossum) before somebody else's service: while nobody answers there, who asks is told at once. Calls that probe may
 * try when some time has passed; where a client waits it is not the one who tries.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #breaker: CircuitBreaker<[() => Promise<unknown>]>;
  #inARow = 0;
  #told = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#breaker = new CircuitBreaker((call: () => Promise<unknown>) => call(), {
      timeout: false,
      resetTimeout: options.resetMs ?? 500,
      rollingCountTimeout: WINDOW,
      rollingCountBuckets: 4,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      volumeThreshold: LEAST_CALLS,
      errorThresholdPercentage: 50,
      errorFilter: (error: unknown) => options.weightOf(error) === 0,
    });
    this.#breaker.on('open', () => this.#tell(true));
    this.#breaker.on('close', () => this.#tell(false));
  }

  /** Whether nobody is asked now, but by a probe. */
  get open(): boolean {
    return !this.#breaker.closed;
  }

  /**
   * @param probes whether this call may be the one that tries
   * @throws what `call` throws; while it is open, what `refusal` gives
   */
  async run<T>(call: () => Promise<T>, probes: boolean): Promise<T> {
    const { weightOf, refusal, resetMs = 500 } = this.#options;
    const retryAfter = Math.max(1, Math.ceil(resetMs / 1000));
    if (this.open && !probes) throw refusal(retryAfter);
    try {
      const answer = (await this.#breaker.fire(call)) as T;
      this.#inARow = 0;
      return answer;
    } catch (error) {
      if ((error as { code?: unknown }).code === 'EOPENBREAKER') throw refusal(retryAfter);
      const weight = weightOf(error);
      this.#inARow = weight === 0 ? 0 : this.#inARow + weight;
      if (this.#inARow >= IN_A_ROW && !this.open) this.#breaker.open();
      throw error;
    }
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
