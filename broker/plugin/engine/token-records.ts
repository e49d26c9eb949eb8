import { z } from 'zod';
import { NAME } from '#broker/credential/identity.ts';
import { tokenDocument } from '#broker/token/document.ts';
import type { TokenDocument } from '#broker/token/document.ts';
import type { Token } from '#broker/token/token.ts';
import { Invalid } from './records.ts';
import type { Records } from './records.ts';

/** SHA-256 in base64url, as a grant's digest is. */
export const DIGEST = /^[A-Za-z0-9_-]{43}$/;
/** In place of a digest: the token for all of a tenant's scopes. No digest is so short. */
const WHOLE = 'whole';

const record = tokenDocument.extend({
  /** Changes with each write and never comes back, not after a deletion either. */
  version: z.number().int(),
  /** Whether somebody asked for this token since it was issued: the next one is then fetched ahead. */
  asked: z.boolean().optional(),
});

export type TokenRecord = z.infer<typeof record>;

/** Where a token lies. */
export interface Place {
  readonly tenant: string;
  readonly api: string;
  /** Of a narrower set of scopes; undefined: the token for all of them. */
  readonly digest: string | undefined;
}

/** How long a record outlives its token, ms: a broker whose clock is behind may still look at it. */
const KEPT = 60_000;

/** Tokens below one prefix of storage, seal-wrapped, with check-and-set. */
export class TokenRecords {
  readonly #records: Records;
  readonly prefix: string;
  readonly #now: () => number;

  constructor(records: Records, prefix: string, now: () => number) {
    this.#records = records;
    this.prefix = prefix;
    this.#now = now;
  }

  /** Anything but a record of this version counts as missing: a token can be had anew. */
  async read(place: Place): Promise<TokenRecord | undefined> {
    const found = await this.#records.look(this.#storageKey(place), record);
    return found instanceof Invalid ? undefined : found;
  }

  /**
   * @param version that must be there now; 0: nothing must be
   * @returns the version written, or undefined when somebody else was faster
   */
  write(place: Place, document: TokenDocument, version: number, asked = false): Promise<number | undefined> {
    return this.#alone(place, async () => {
      const found = await this.read(place);
      if ((found?.version ?? 0) !== version) return undefined;
      const next = Math.max(version + 1, this.#now());
      // With a lease the token at hand is written again.
      const kept = found?.asked === true && found.access_token === document.access_token;
      await this.#records.write(
        this.#storageKey(place),
        { ...document, version: next, ...(asked || kept ? { asked: true } : {}) } satisfies TokenRecord,
        true,
      );
      return next;
    });
  }

  /** Notes that this token was asked for, if it is the one there. */
  markAsked(place: Place, token: Token): Promise<void> {
    return this.#alone(place, async () => {
      const found = await this.read(place);
      if (found !== undefined && found.asked !== true && found.access_token === token.reveal())
        await this.#records.write(this.#storageKey(place), { ...found, asked: true } satisfies TokenRecord, true);
    });
  }

  delete(place: Place): Promise<void> {
    return this.#alone(place, () => this.#records.delete(this.#storageKey(place)));
  }

  /** @returns whether it had ended, and so is gone */
  deleteEnded(place: Place): Promise<boolean> {
    return this.#alone(place, async () => {
      const found = await this.read(place);
      if (found === undefined || !this.hasEnded(found)) return false;
      await this.#records.delete(this.#storageKey(place));
      return true;
    });
  }

  hasEnded({ expires_at: expiresAt = 0, lease }: TokenRecord): boolean {
    return Math.max(expiresAt * 1000, lease?.until ?? 0) + KEPT < this.#now();
  }

  async tenants(): Promise<readonly string[]> {
    return (await this.#records.list(this.prefix)).filter((name) => NAME.test(name));
  }

  async apis(tenant: string): Promise<readonly string[]> {
    return (await this.#records.list(`${this.prefix}${tenant}/`)).filter((name) => NAME.test(name));
  }

  async digests(tenant: string, api: string): Promise<readonly (string | undefined)[]> {
    const names = await this.#records.list(`${this.prefix}${tenant}/${api}/`);
    return names.filter((name) => name === WHOLE || DIGEST.test(name)).map((name) => (name === WHOLE ? undefined : name));
  }

  /** All of one tenant's, or of one of its APIs. */
  async places(tenant: string, only?: string): Promise<readonly Place[]> {
    const apis = only === undefined ? await this.apis(tenant) : [only];
    const found = await Promise.all(apis.map(async (api) => (await this.digests(tenant, api)).map((digest) => ({ tenant, api, digest }))));
    return found.flat();
  }

  /** @returns undefined for a key that is not a token's */
  placeOf(key: string): Place | undefined {
    if (!key.startsWith(this.prefix)) return undefined;
    const [tenant = '', api = '', last = ''] = key.slice(this.prefix.length).split('/');
    return { tenant, api, digest: last === WHOLE ? undefined : last };
  }

  #storageKey({ tenant, api, digest = WHOLE }: Place): string {
    // Paths have checked all three; a storage key is too dear to trust them.
    if (!NAME.test(tenant) || !NAME.test(api) || (digest !== WHOLE && !DIGEST.test(digest))) throw new Error('no place of a token');
    return `${this.prefix}${tenant}/${api}/${digest}`;
  }

  #alone<Result>(place: Place, work: () => Promise<Result>): Promise<Result> {
    return this.#records.alone(this.#storageKey(place), work);
  }
}
