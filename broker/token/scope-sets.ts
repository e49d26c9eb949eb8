import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';

/**
 * How many tokens for fewer than all its scopes a tenant holds at one API. A tenant with n scopes could ask for 2^n different
 * ones, each metered at Auth0 and kept in Vault. Counted by each replica for itself, from what it has seen.
 */
export class ScopeSets {
  readonly #most: number;
  /** tenant/api -> scopes -> when their token ends, seconds since 1970. */
  readonly #held: BoundedMap<string, Map<string, number>>;

  /** @param places most tenants and APIs that are counted */
  constructor(most: number, places: number) {
    this.#most = most;
    this.#held = new BoundedMap(places);
  }

  /**
   * Before a token is asked for; it holds a place until `until`, or until {@link hold} says how long.
   * @param now seconds since 1970, as `until`
   * @throws {PosternError} too_many_requests
   */
  take(grant: AuthorizedGrant, now: number, until: number): void {
    if (grant.whole) return;
    const held = this.#heldBy(grant);
    for (const [scope, end] of held) if (end <= now) held.delete(scope);
    if (held.has(grant.scope)) return;
    if (held.size >= this.#most) {
      throw new PosternError(
        'too_many_requests',
        `Too many different sets of scopes are in use at this API (${this.#most}): ask for one of those, or ` +
          'leave scope out to get all that is granted',
        {
          retryAfter: Math.min(3600, Math.max(1, Math.ceil(Math.min(...held.values()) - now))),
        },
      );
    }
    held.set(grant.scope, until);
  }

  /** A token for it is there. @param until seconds since 1970 */
  hold(grant: AuthorizedGrant, until: number): void {
    if (!grant.whole) this.#heldBy(grant).set(grant.scope, until);
  }

  /** People count for themselves: none takes another's places. */
  #heldBy({ tenant, api, owner }: AuthorizedGrant): Map<string, number> {
    const place = owner === undefined ? `${tenant}/${api}` : `${tenant}/${api}/${owner.keyId}`;
    let held = this.#held.get(place);
    if (held === undefined) {
      held = new Map();
      this.#held.set(place, held);
    }
    return held;
  }
}
