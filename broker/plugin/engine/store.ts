import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { documentOf, storedOf, tokenOf } from '#broker/token/document.ts';
import type { HeldToken } from '#broker/token/held-tokens.ts';
import type { EarlyReading, Lease, StoredToken, TokenStore } from '#broker/token/store.ts';
import type { Token } from '#broker/token/token.ts';
import type { Place, TokenRecord, TokenRecords } from './token-records.ts';

/** The token cache's shared store in Vault's own storage, which outlives this process and this node. */
export class StorageTokens implements TokenStore {
  readonly #records: TokenRecords;
  readonly #isAwaited: (grant: AuthorizedGrant) => boolean;
  /** Tokens whose record doesn't say that somebody asked for them. */
  readonly #unasked = new WeakSet<Token>();

  /** @param isAwaited whether somebody waits for this grant's token, or it is only fetched ahead */
  constructor(records: TokenRecords, isAwaited: (grant: AuthorizedGrant) => boolean) {
    this.#records = records;
    this.#isAwaited = isAwaited;
  }

  async read(grant: AuthorizedGrant): Promise<StoredToken> {
    return this.#forGrant(await this.#records.read(placeOf(grant)), grant);
  }

  async readEarly(tenant: string, api: string): EarlyReading {
    const found = await this.#records.read({ tenant, api, digest: undefined });
    return (grant) => this.#forGrant(found, grant);
  }

  write(grant: AuthorizedGrant, token: Token | undefined, lease: Lease | undefined, version: number): Promise<number | undefined> {
    const asked = this.#isAwaited(grant);
    if (token !== undefined && lease === undefined && !asked) this.#unasked.add(token);
    return this.#records.write(placeOf(grant), documentOf(grant, token, lease), version, asked);
  }

  /** Writes down that a token was asked for, where its record doesn't say so: after a restart the next one is fetched ahead. */
  async noteAsked({ grant, token }: HeldToken): Promise<void> {
    if (this.#unasked.delete(token)) await this.#records.markAsked(placeOf(grant), token);
  }

  async discard(
    sha256: string,
    { api, digests }: { readonly api: string; readonly digests: readonly string[] },
    { tenant }: Identity,
  ): Promise<number> {
    const places: Place[] = [undefined, ...digests].map((digest) => ({ tenant, api, digest }));
    const found = await Promise.all(
      places.map(async (place) => {
        const stored = await this.#records.read(place);
        if (stored === undefined || tokenOf(stored)?.sha256 !== sha256) return false;
        await this.#records.delete(place);
        return true;
      }),
    );
    return found.filter(Boolean).length;
  }

  #forGrant(found: TokenRecord | undefined, grant: AuthorizedGrant): StoredToken {
    const stored = storedOf(found, found?.version ?? 0, grant);
    if (stored.token !== undefined && found?.asked !== true) this.#unasked.add(stored.token);
    // The lease is of a process that has ended: in this one nobody asks for what is being fetched already.
    return stored.lease?.paused === true ? stored : { ...stored, lease: undefined };
  }
}

function placeOf({ tenant, api, digest, whole }: AuthorizedGrant): Place {
  return { tenant, api, digest: whole ? undefined : digest };
}
