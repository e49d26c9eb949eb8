/** A clock that stands still until it is moved; ms since 1970. */
export class Clock {
  ms: number;

  constructor(ms = 1_800_000_000_000) {
    this.ms = ms;
  }

  readonly now = (): number => this.ms;

  advance(ms: number): void {
    this.ms += ms;
  }
}

/** A promise that is settled from outside. */
export function deferred<T>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}
