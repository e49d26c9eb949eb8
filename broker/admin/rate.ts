import { BoundedMap } from '#broker/bounded-map.ts';

export interface RateOptions {
  /** Units a minute, which may be used at once. */
  perMinute: number;
  /** Most names remembered. Default 10,000. */
  max?: number;
  /** ms of a clock that never goes back. */
  now?: (() => number) | undefined;
}

/**
 * An allowance for each name, refilled evenly. In this process's memory only: it keeps one caller from drowning Vault, and counts nothing
 * exactly.
 */
export class Rate {
  readonly #perMs: number;
  readonly #full: number;
  readonly #now: () => number;
  // Bounded, since names may be an attacker's to choose.
  readonly #left: BoundedMap<string, { units: number; at: number }>;

  constructor(options: RateOptions) {
    this.#full = options.perMinute;
    this.#perMs = options.perMinute / 60_000;
    this.#now = options.now ?? (() => performance.now());
    this.#left = new BoundedMap(options.max ?? 10_000);
  }

  /** Takes a unit. @returns 0, or how many seconds until there is one */
  take(name: string): number {
    const wait = this.wait(name);
    if (wait > 0) return wait;
    this.#left.set(name, { units: this.#units(name) - 1, at: this.#now() });
    return 0;
  }

  /** Seconds until there is a unit; takes none. */
  wait(name: string): number {
    const units = this.#units(name);
    return units >= 1 ? 0 : (1 - units) / this.#perMs / 1000;
  }

  #units(name: string): number {
    const known = this.#left.get(name);
    return known === undefined ? this.#full : Math.min(this.#full, known.units + (this.#now() - known.at) * this.#perMs);
  }
}
