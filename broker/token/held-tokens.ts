import { LRUCache } from 'lru-cache';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
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
  /** tenant/api -> the key of the token for all its scopes. A hint only: it decides what is read, never what is served. */
  readonly #whole: LRUCache<string, string>;
  /** Pushed out for want of room, since the start. */
  evicted = 0;

  constructor(options: HeldTokensOptions) {
    this.#options = options;
    const { max, maxBytes } = options;
    this.#byKey = new LRUCache({
      max,
      dispose: (_held, _key, reason) => {
        if (reason === 'evict') this.evicted++;
      },
      ...(maxBytes === undefined ? {} : { maxSize: maxBytes, sizeCalculation: ({ token }: HeldToken) => token.reveal().length + BESIDE }),
    });
    this.#whole = new BoundedMap(max);
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
    const key = this.#whole.get(`${tenant}/${api}`);
    return key === undefined ? undefined : this.#byKey.peek(key);
  }

  hold(grant: AuthorizedGrant, token: Token, asked: boolean): void {
    this.#byKey.set(grant.key, { token, from: 'memory', grant, asked });
    if (grant.whole) this.#whole.set(`${grant.tenant}/${grant.api}`, grant.key);
  }

  /** As they are now, the last used first: tokens may come and go while the caller goes through them. */
  all(): readonly HeldToken[] {
    return [...this.#byKey.values()];
  }

  forget(matches: (held: HeldToken) => boolean): void {
    for (const held of this.all()) if (matches(held)) this.#byKey.delete(held.grant.key);
  }
}
