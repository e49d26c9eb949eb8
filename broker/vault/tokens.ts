import { createHash } from 'node:crypto';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity, VaultToken } from '#broker/credential/identity.ts';
import { documentOf, storedOf, tokenDocument } from '#broker/token/document.ts';
import type { TokenDocument } from '#broker/token/document.ts';
import type { EarlyReading, Lease, StoredToken, TokenStore } from '#broker/token/store.ts';
import type { Token } from '#broker/token/token.ts';
import type { CallOptions } from './client.ts';
import { lostRace } from '#broker/vault-fault.ts';
import type { KvDocument } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

/** Each lost race means that somebody else wrote the place; what it says now is looked at again. */
const DISCARD_ATTEMPTS = 10;

/**
 * Where tokens lie in Vault, with check-and-set: KV v2, or our own secrets plugin. Both throw a {@link VaultFault}, `conflict` for a lost
 * race.
 */
export interface TokenPlaces {
  /**
   * @param path `<tenant>/<api>` for the token with all scopes, which a Vault Agent can read; `<tenant>/<api>/<digest>` for narrower ones.
   */
  read(path: string, options: CallOptions): Promise<KvDocument>;
  /** @returns the version written */
  write(path: string, data: Record<string, unknown>, cas: number, options: CallOptions): Promise<number>;
}

/** Told of each token that was stored, and of the version written. */
export type OnStored = (grant: AuthorizedGrant, token: Token, version: number) => void;

/** The replicas' shared cache in Vault. The tenant's own token reads, the broker's writes. */
export class VaultTokens implements TokenStore {
  readonly #places: TokenPlaces;
  readonly #session: VaultSession;
  readonly #clock: Clock;
  readonly #onStored: OnStored | undefined;

  constructor(places: TokenPlaces, session: VaultSession, { onStored, ...clocks }: Clocks & { readonly onStored?: OnStored } = {}) {
    this.#places = places;
    this.#session = session;
    this.#clock = clockOf(clocks);
    this.#onStored = onStored;
  }

  async read(grant: AuthorizedGrant, as: VaultToken, forwardedFor: string | undefined): Promise<StoredToken> {
    return this.#forGrant(await this.#read(pathOf(grant), as, forwardedFor), grant);
  }

  async readEarly(tenant: string, api: string, identity: Identity): EarlyReading {
    const found = await this.#read(`${tenant}/${api}`, identity.token, identity.forwardedFor, identity.lent !== true);
    return (grant) => this.#forGrant(found, grant);
  }

  async write(grant: AuthorizedGrant, token: Token | undefined, lease: Lease | undefined, version: number): Promise<number | undefined> {
    try {
      const data = documentOf(grant, token, lease);
      const written = await this.#session.use((own) => this.#places.write(pathOf(grant), data, version, { token: own, part: 'storing' }));
      if (token !== undefined) this.#onStored?.(grant, token, written);
      return written;
    } catch (error) {
      if (lostRace(error)) return undefined;
      throw asUnavailable(error);
    }
  }

  async discard(sha256: string, { api, digests }: { api: string; digests: readonly string[] }, identity: Identity): Promise<number> {
    const whole = `${identity.tenant}/${api}`;
    const found = await Promise.all(
      [whole, ...digests.map((digest) => `${whole}/${digest}`)].map((path) => this.#discardAt(path, sha256, identity)),
    );
    return found.filter(Boolean).length;
  }

  async #discardAt(path: string, sha256: string, identity: Identity): Promise<boolean> {
    for (let attempt = 1; attempt <= DISCARD_ATTEMPTS; attempt++) {
      const found = await this.#read(path, identity.token, identity.forwardedFor);
      const { data } = tokenDocument.safeParse(found.data);
      if (data?.access_token === undefined || createHash('sha256').update(data.access_token).digest('hex') !== sha256) return false;
      // The lease of somebody who is fetching the next one already stays.
      const left: TokenDocument = { grant: data.grant, ...(data.lease === undefined ? {} : { lease: data.lease }) };
      try {
        await this.#session.use((own) => this.#places.write(path, left, found.version, { token: own, part: 'storing' }));
        return true;
      } catch (error) {
        if (!lostRace(error)) throw asUnavailable(error);
      }
    }
    throw unavailable('too many replicas write the place of a revoked token at once');
  }

  /** Something else may lie there: another version's document, say. It is overwritten by its version. */
  #forGrant({ data, version }: KvDocument, grant: AuthorizedGrant): StoredToken {
    return storedOf(tokenDocument.safeParse(data).data, version, grant, this.#clock.random());
  }

  #read(path: string, as: VaultToken, forwardedFor: string | undefined, behind = false): Promise<KvDocument> {
    return this.#places.read(path, { token: as.reveal(), forwardedFor, part: 'tokens', behind }).catch((error: unknown) => {
      throw asUnavailable(error);
    });
  }
}

/** `<tenant>/<api>` for the token with all scopes, which a Vault Agent can read; `<tenant>/<api>/<digest>` for narrower ones. */
function pathOf(grant: AuthorizedGrant): string {
  return grant.whole ? `${grant.tenant}/${grant.api}` : `${grant.tenant}/${grant.api}/${grant.digest}`;
}
