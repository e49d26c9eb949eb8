import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';

export interface PaceOptions {
  /** Whether its issuer counts its tokens; only such a source has a pace. @param source by name */
  isMetered: (source: string) => boolean;
  /** ms of a clock that never goes back. */
  monotonic: () => number;
}

/** Most tokens asked of metered sources, a second: Auth0 allows some 25 requests a second on paid plans, and clients ask it as well. */
const MOST = 20;
/** A source that fails for so many tenants, and answers none in between, is away for all of them. */
const SEVERAL = 3;
/** Between two attempts while it is, ms, unless it names a longer pause. */
const AGAIN = 1_000;
/** Longest of these, ms: what one tenant's organization is told says nothing of the others. */
const LONGEST = 10_000;

/** When a token may be asked of a source by somebody for whom nobody waits: the clients' exchanges come first. */
export class Pace {
  readonly #options: PaceOptions;
  #left = MOST;
  /** When `#left` was counted last. */
  #at: number;
  /** By source: for whom it failed since it answered last, and when the next one may try. */
  readonly #failing = new Map<string, { readonly tenants: Set<string>; tryAt: number }>();

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#at = options.monotonic();
  }

  /** Takes a turn, where there is one now. */
  take({ source }: Pick<AuthorizedGrant, 'source'>): boolean {
    const now = this.#options.monotonic();
    const failing = this.isAway(source) ? this.#failing.get(source) : undefined;
    if (failing !== undefined && now < failing.tryAt) return false;
    if (this.#options.isMetered(source)) {
      this.#left = Math.min(MOST, this.#left + ((now - this.#at) / 1000) * MOST);
      this.#at = now;
      if (this.#left < 1) return false;
      this.#left--;
    }
    // One finds out, and the others wait for what it says.
    if (failing !== undefined) failing.tryAt = now + LONGEST;
    return true;
  }

  /** Whether it has failed for several tenants, and is tried by one now and then. */
  isAway(source: string): boolean {
    return (this.#failing.get(source)?.tenants.size ?? 0) >= SEVERAL;
  }

  /** @param error undefined: it gave a token */
  heard({ source, tenant }: Pick<AuthorizedGrant, 'source' | 'tenant'>, error: unknown): void {
    const isSilent = error instanceof PosternError && error.code === 'temporarily_unavailable' && !error.here;
    if (!isSilent) return void this.#failing.delete(source);
    const failing = this.#failing.get(source) ?? { tenants: new Set<string>(), tryAt: 0 };
    if (failing.tenants.size < SEVERAL) failing.tenants.add(tenant);
    const pause = Math.min(LONGEST, Math.max(AGAIN, (error.retryAfter ?? 0) * 1000));
    failing.tryAt = this.#options.monotonic() + pause;
    this.#failing.set(source, failing);
  }
}
