import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { TokenStore } from './store.ts';
import type { Token } from './token.ts';

export interface StoredLatelyOptions extends Clocks {
  store: Pick<TokenStore, 'write'>;
  /** Whether a token that this tenant got is void by now. What it throws is no judgement. */
  isVoid: (tenant: string, token: Token) => boolean;
  /** Counts what was heard of any tenant: while it stays, only what was stored since the last look is judged. */
  changes: () => number;
  /** Told of a look that could not take one out, which is tried again. */
  onError?: (error: unknown) => void;
}

/** Longer than a broker goes by announcements that it can't read, ms: whoever ends a token clears the store before that. */
const LATELY = 90_000;
/** Between two looks, ms. */
const LOOK = 1_000;

interface Stored {
  readonly grant: AuthorizedGrant;
  readonly token: Token;
  readonly version: number;
  /** ms of the monotonic clock. */
  readonly at: number;
}

/**
 * Tokens that this replica put into the shared store lately. Whoever ends a tenant's tokens clears the store, and again two seconds later;
 * a replica that hears of it still later may have stored one meanwhile, which a Vault Agent would go on reading. It takes it out itself.
 */
export class StoredLately {
  readonly #options: StoredLatelyOptions;
  readonly #clock: Clock;
  /** By grant, oldest first. */
  readonly #stored = new Map<string, Stored>();
  /** Of those, what no look has judged. */
  #new: Stored[] = [];
  #changes = -1;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: StoredLatelyOptions) {
    this.#options = options;
    this.#clock = clockOf(options);
  }

  /** @param version that was written */
  add(grant: AuthorizedGrant, token: Token, version: number): void {
    const stored = { grant, token, version, at: this.#clock.monotonic() };
    this.#stored.delete(grant.digest);
    this.#stored.set(grant.digest, stored);
    this.#new.push(stored);
    this.#wait();
  }

  /** One look. */
  async look(): Promise<void> {
    const oldest = this.#clock.monotonic() - LATELY;
    for (const [digest, { at }] of this.#stored) {
      if (at >= oldest) break;
      this.#stored.delete(digest);
    }
    const changes = this.#options.changes();
    const judged = changes === this.#changes ? this.#new : [...this.#stored.values()];
    this.#changes = changes;
    this.#new = [];
    for (const one of judged) if (this.#stored.get(one.grant.digest) === one && this.#isVoid(one)) await this.#takeOut(one);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #wait(): void {
    if (this.#stopped || this.#cancel !== undefined || this.#stored.size === 0) return;
    this.#cancel = this.#clock.after(LOOK, () => {
      void this.look().then(() => {
        this.#cancel = undefined;
        this.#wait();
      });
    });
  }

  /** By its version: what somebody else wrote or cleared since is theirs. */
  async #takeOut(one: Stored): Promise<void> {
    const { grant, version } = one;
    try {
      await this.#options.store.write(grant, undefined, undefined, version);
    } catch (error) {
      this.#new.push(one);
      this.#options.onError?.(error);
      return;
    }
    if (this.#stored.get(grant.digest) === one) this.#stored.delete(grant.digest);
  }

  #isVoid({ grant, token }: Stored): boolean {
    try {
      return this.#options.isVoid(grant.tenant, token);
    } catch {
      // Who is disabled is not known now.
      this.#changes = -1;
      return false;
    }
  }
}
