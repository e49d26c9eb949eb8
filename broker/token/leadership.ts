import { clockOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import type { LeaseStore } from './publications.ts';
import type { Lease } from './store.ts';
import type { Leading } from './work.ts';

export interface LeadershipOptions extends Clocks {
  store: LeaseStore;
  /** How long a replica that has died keeps it, ms. */
  leaseMs: number;
  /** Told of each hand-over that this replica has part in. */
  onHandover?: (handover: Leading) => void;
}

/** Until when a lease lasts that was given up, ms since 1970. */
const GIVEN_UP = 0;

/**
 * Whether this replica is the one that publishes: a lease in Vault by check-and-set. Others take it when it was given up, or hasn't changed
 * for its whole time by their own monotonic clock, whatever the clocks of two machines say.
 */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #holder: string;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  /** By the monotonic clock, from before it was asked for: nobody else has it until then. */
  #until = -Infinity;
  #seeking: Promise<boolean> | undefined;
  /** What was last seen there, and since when. */
  #seen: { readonly version: number; readonly since: number } | undefined;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    const { now, monotonic, uuid } = clockOf(options);
    this.#now = now;
    this.#monotonic = monotonic;
    this.#holder = uuid();
  }

  /** Whether it is this replica's now. It may end while something is awaited: look again. */
  get held(): boolean {
    return this.#monotonic() < this.#until;
  }

  /** Takes it where it is free, and extends it; many may ask at once. @throws {PosternError} temporarily_unavailable */
  async seek(): Promise<boolean> {
    // With two thirds left there is no need yet.
    if (this.#until - this.#monotonic() > (this.#options.leaseMs * 2) / 3) return true;
    return (this.#seeking ??= this.#seekNow().finally(() => (this.#seeking = undefined)));
  }

  async #seekNow(): Promise<boolean> {
    const { store, leaseMs, onHandover } = this.#options;
    const asked = this.#monotonic();
    const { lease, version } = await store.read();
    // From after the answer: what was read may have been written while it was asked for, and lasts from there.
    if (this.#seen?.version !== version) this.#seen = { version, since: this.#monotonic() };
    const why = this.#whyFree(lease, asked - this.#seen.since >= leaseMs);
    if (why === undefined) {
      this.#until = -Infinity;
      return false;
    }
    const { held } = this;
    const begun = this.#monotonic();
    const written = await store.write({ holder: this.#holder, until: this.#now() + leaseMs, paused: false }, version);
    this.#until = written === undefined ? -Infinity : begun + leaseMs;
    if (written !== undefined && !held) {
      const from = lease?.holder;
      const outcome = from === undefined ? 'taken' : 'taken_over';
      onHandover?.({ kind: 'leadership', outcome, from, to: this.#holder, why });
    }
    return this.held;
  }

  /** @returns undefined: another replica has it */
  #whyFree(lease: Lease | undefined, unchanged: boolean): Exclude<Leading['why'], 'stopping' | 'fault'> | undefined {
    if (lease === undefined) return 'nobody';
    // Vault may have carried its write out though the reply was lost.
    if (lease.holder === this.#holder) return 'left_over';
    if (lease.until === GIVEN_UP) return 'given_up';
    return unchanged ? 'unchanged' : undefined;
  }

  /** Another replica may take it at once. Never throws. */
  async giveUp(why: 'stopping' | 'fault' = 'stopping'): Promise<void> {
    if (!this.held) return;
    this.#until = -Infinity;
    const { store, onHandover } = this.#options;
    try {
      const { lease, version } = await store.read();
      if (lease?.holder !== this.#holder) return;
      if ((await store.write({ ...lease, until: GIVEN_UP }, version)) === undefined) return;
      onHandover?.({ kind: 'leadership', outcome: 'given_up', from: this.#holder, to: undefined, why });
    } catch {
      // It ends by itself.
    }
  }
}
