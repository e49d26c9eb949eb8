import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity, VaultToken } from '#broker/credential/identity.ts';
import type { Token } from './token.ts';

/** A replica's claim to be the one that asks the source. */
export interface Lease {
  readonly holder: string;
  /** By the store's clock, ms since 1970; a holder that died loses it then. */
  readonly until: number;
  /** The source refused or failed, and asked to be left alone until then: nobody waits for it. */
  readonly paused: boolean;
}

/** What the replicas share of one grant. */
export interface StoredToken {
  readonly token: Token | undefined;
  readonly lease: Lease | undefined;
  /** Names the state read, for check-and-set. */
  readonly version: number;
}

/** A reading of the store begun before the grant was known; the grant then says whether what was found is what it wants. */
export type EarlyReading = Promise<(grant: AuthorizedGrant) => StoredToken>;

/**
 * The port to the cache that replicas share. Reading is done with the tenant's own Vault token,
 * writing with the broker's, which can't read.
 */
export interface TokenStore {
  read(grant: AuthorizedGrant, as: VaultToken, forwardedFor: string | undefined): Promise<StoredToken>;
  /**
   * Begins to read where the token for all granted scopes lies, before it is known what is granted.
   * @returns what {@link read} would for a grant at that place.
   */
  readEarly(tenant: string, api: string, identity: Identity): EarlyReading;
  /** @returns the version written, or undefined when somebody else was faster. */
  write(grant: AuthorizedGrant, token: Token | undefined, lease: Lease | undefined, version: number): Promise<number | undefined>;
  /**
   * Takes a token out, wherever it lies for this tenant and API: whoever reads the store past the broker must not find it. Another token
   * there stays.
   * @param digests of the grants that it may have been stored for, beside the one for all scopes
   * @param sha256 hexadecimal
   * @returns in how many places it was
   * @throws {PosternError} temporarily_unavailable
   */
  discard(sha256: string, place: { readonly api: string; readonly digests: readonly string[] }, identity: Identity): Promise<number>;
}
