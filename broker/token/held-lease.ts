import type { Clock } from '#broker/clock.ts';

export interface HeldLeaseOptions {
  /** @param version of what lies there @returns the version written; undefined: somebody else was faster. May throw. */
  write: (version: number) => Promise<number | undefined>;
  /** Of the lease as it was taken. */
  version: number;
  /** For how long each write holds it, ms. */
  leaseMs: number;
  clock: Pick<Clock, 'after'>;
}

/** Whoever works for longer than this isn't waited for: what it waits for has deadlines of its own. */
const MOST = 6;

/**
 * A lease that is kept for as long as its holder works: a busy machine or a slow Vault may take its whole time before the source was asked,
 * and then another replica asks once more. A holder that dies extends nothing, and loses it as before.
 */
export class HeldLease {
  readonly #options: HeldLeaseOptions;
  #version: number;
  #extending: Promise<void> = Promise.resolve();
  #cancel: () => void = () => {};
  #left = MOST;

  constructor(options: HeldLeaseOptions) {
    this.#options = options;
    this.#version = options.version;
    this.#wait();
  }

  /** @returns the version of what lies there, as far as it is known */
  async end(): Promise<number> {
    this.#left = 0;
    this.#cancel();
    await this.#extending;
    return this.#version;
  }

  #wait(): void {
    if (this.#left-- <= 0) return;
    this.#cancel = this.#options.clock.after(this.#options.leaseMs / 2, () => (this.#extending = this.#extend()));
  }

  async #extend(): Promise<void> {
    try {
      const version = await this.#options.write(this.#version);
      // Lost to somebody else.
      if (version === undefined) return;
      this.#version = version;
    } catch {
      // The next one may go through before the lease ends.
    }
    this.#wait();
  }
}
