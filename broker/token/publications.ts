import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Lease } from './store.ts';
import type { Token } from './token.ts';

/** Whose token is published where, as its publisher remembers it: no token, so that another replica goes on where it stopped. */
export interface Published {
  /** The digest of the grant that it was issued under. */
  readonly grant: string;
  /** Of the document in Vault: another means that somebody wrote or removed it since. */
  readonly version: number;
  /** SHA-256 of the token, hexadecimal. */
  readonly sha256: string;
  /** {@link Token.signedBy} */
  readonly signedBy: string;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** A tenant that operators marked. */
export interface Publication {
  readonly tenant: string;
  readonly clientId: string;
  /** Names of APIs: marked for this tenant, or for everybody as long as the API is. */
  readonly apis: readonly string[];
  /** Those that are marked for this tenant. */
  readonly marked: readonly string[];
}

/** The port to where publications lie, all with the broker's own token. */
export interface PublicationStore {
  /**
   * Tenants that are marked, and those of which something lies there still: a long list, perhaps.
   * @throws {PosternError} temporarily_unavailable, and when the signal says so
   */
  tenants(signal?: AbortSignal): Promise<readonly string[]>;
  /** Undefined where it was taken back meanwhile. @throws {PosternError} temporarily_unavailable; misconfigured where it isn't valid */
  publication(tenant: string): Promise<Publication | undefined>;
  /** By API. @throws {PosternError} temporarily_unavailable */
  published(tenant: string): Promise<ReadonlyMap<string, Published>>;
  /** @param published empty: it is forgotten. @throws {PosternError} temporarily_unavailable */
  remember(tenant: string, published: ReadonlyMap<string, Published>): Promise<void>;
  /** The version of the document at a place, never the token in it; 0: there is none. @throws {PosternError} temporarily_unavailable */
  version(tenant: string, api: string): Promise<number>;
  /** Writes nothing, and returns where a document could be written now. @throws {PosternError} why it couldn't */
  check(tenant: string, api: string): Promise<void>;
  /**
   * @param token undefined: what is there goes
   * @returns the version written; undefined where somebody was faster
   * @throws {PosternError} temporarily_unavailable
   */
  publish(
    place: Pick<AuthorizedGrant, 'tenant' | 'api' | 'digest'>,
    token: Token | undefined,
    version: number,
  ): Promise<number | undefined>;
}

/** The one lease that all replicas share. */
export interface LeaseStore {
  /** @throws {PosternError} temporarily_unavailable */
  read(): Promise<{ readonly lease: Lease | undefined; readonly version: number }>;
  /** @returns the version written; undefined where somebody was faster. @throws {PosternError} temporarily_unavailable */
  write(lease: Lease, version: number): Promise<number | undefined>;
}
