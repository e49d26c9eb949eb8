import { LRUCache } from 'lru-cache';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Token } from './token.ts';

/** A token in this process's memory, and the grant that it was issued for. */
export interface HeldToken {
  readonly token: Token;
  readonly from: 'memory';
  readonly grant: AuthorizedGrant;
  /** Whether a client asked for this very token; one that was fetched ahead may end unasked. */
  asked: boolean;
}

export interface HeldTokensOptions {
  /** Most tokens. */
  readonly max: number;
  /** Most memory for them and what belongs to them, bytes, about. */
  readonly maxBytes?: number | undefined;
}

/** What a token in memory costs beside its own text, bytes: its grant, its keys and entries (measured with 10,000 tenants). */
export const BESIDE = 2_500;

/** The tokens in this process's memory, least recently used out first. */
export class HeldTokens {
  readonly #options: HeldTokensOptions;
  readonly #byKey: LRUCache<string, HeldToken>;
  /** api -> tenant -> the token for all its scopes. A hint only: it decides what is read, never what is served. */
  readonly #whole = new Map<string, Map<string, HeldToken>>();
  /** Pushed out for want of room, since the start. */
  evicted = 0;

  constructor(options: HeldTokensOptions) {
    this.#options = options;
    const { max, maxBytes } = options;
    this.#byKey = new LRUCache({
      max,
      dispose: (held, _key, reason) => {
        if (reason === 'evict') this.evicted++;
        this.#dropWhole(held);
      },
      ...(maxBytes === undefined ? {} : { maxSize: maxBytes, sizeCalculation: ({ token }: HeldToken) => token.reveal().length + BESIDE }),
    });
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether further tokens would soon push others out. */
  get full(): boolean {
    const { max, maxBytes = Number.POSITIVE_INFINITY } = this.#options;
    return this.#byKey.size >= 0.9 * max || this.#byKey.calculatedSize >= 0.9 * maxBytes;
  }

  get(key: string): HeldToken | undefined {
    return this.#byKey.get(key);
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** The token for all that the tenant was last granted at this API. */
  whole(tenant: string, api: string): HeldToken | undefined {
    return this.#whole.get(api)?.get(tenant);
  }

  /** The grant that is kept with its token, where it is the same: there need not be two of it. */
  kept(grant: AuthorizedGrant): AuthorizedGrant | undefined {
    const kept = this.#byKey.peek(grant.key)?.grant;
    return kept?.equals(grant) === true ? kept : undefined;
  }

  hold(grant: AuthorizedGrant, token: Token, asked: boolean): void {
    const held: HeldToken = { token, from: 'memory', grant, asked };
    this.#byKey.set(grant.key, held);
    if (!grant.whole || !this.#byKey.has(grant.key)) return;
    const tenants = this.#whole.get(grant.api);
    if (tenants === undefined) this.#whole.set(grant.api, new Map([[grant.tenant, held]]));
    else tenants.set(grant.tenant, held);
  }

  /** As they are now, the last used first: tokens may come and go while the caller goes through them. */
  all(): readonly HeldToken[] {
    return [...this.#byKey.values()];
  }

  forget(matches: (held: HeldToken) => boolean): void {
    for (const held of this.all()) if (matches(held)) this.#byKey.delete(held.grant.key);
  }

  #dropWhole(held: HeldToken): void {
    const { tenant, api } = held.grant;
    const tenants = this.#whole.get(api);
    if (tenants?.get(tenant) !== held) return;
    tenants.delete(tenant);
    if (tenants.size === 0) this.#whole.delete(api);
  }
}
