/** A wall clock (ms since 1970) and one that never goes back; both stand still until they are moved. */
export class Clock {
  ms: number;
  #passed = 0;

  constructor(ms = 1_800_000_000_000) {
    this.ms = ms;
  }

  readonly now = (): number => this.ms;

  readonly monotonic = (): number => this.#passed;

  /** Time passes. */
  advance(ms: number): void {
    this.ms += ms;
    this.#passed += ms;
  }

  /** Somebody sets the wall clock back; no time passes. */
  setBack(ms: number): void {
    this.ms -= ms;
  }
}

/** A promise that is settled from outside. */
export function deferred<T>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}
