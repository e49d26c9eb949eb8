import { randomUUID } from 'node:crypto';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { isFree } from './lease.ts';
import type { LeaseStore } from './publications.ts';

export interface LeadershipOptions extends Clocks {
  store: LeaseStore;
  /** How long a replica that has died keeps it, ms. */
  leaseMs: number;
}

/** Whether this replica is the one that publishes: a lease in Vault by check-and-set, as of a token that is being fetched. */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #holder = randomUUID();
  readonly #now: () => number;
  readonly #monotonic: () => number;
  /** By the monotonic clock, from before it was asked for: nobody else has it until then. */
  #until = -Infinity;
  /** What was last seen there, and since when. */
  #seen: { readonly version: number; readonly since: number } | undefined;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
  }

  /** Whether it is this replica's now. It may end while something is awaited: look again. */
  get held(): boolean {
    return this.#monotonic() < this.#until;
  }

  /** Takes it where it is free, and extends it. @throws {PosternError} temporarily_unavailable */
  async seek(): Promise<boolean> {
    const { store, leaseMs } = this.#options;
    // With two thirds left there is no need yet.
    if (this.#until - this.#monotonic() > (leaseMs * 2) / 3) return true;
    const asked = this.#monotonic();
    const { lease, version } = await store.read();
    if (this.#seen?.version !== version) this.#seen = { version, since: asked };
    const unchanged = asked - this.#seen.since >= leaseMs;
    if (!isFree(lease, this.#holder, this.#now(), unchanged)) {
      this.#until = -Infinity;
      return false;
    }
    const begun = this.#monotonic();
    const written = await store.write({ holder: this.#holder, until: this.#now() + leaseMs, paused: false }, version);
    this.#until = written === undefined ? -Infinity : begun + leaseMs;
    return this.held;
  }

  /** Another replica may take it at once. Never throws. */
  async giveUp(): Promise<void> {
    if (!this.held) return;
    this.#until = -Infinity;
    const { store } = this.#options;
    try {
      const { lease, version } = await store.read();
      if (lease?.holder === this.#holder) await store.write({ ...lease, until: 0 }, version);
    } catch {
      // It ends by itself.
    }
  }
}
