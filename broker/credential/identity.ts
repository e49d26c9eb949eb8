import { inspect } from 'node:util';
import type { Limits } from '#broker/rate-limit/limits.ts';
import type { Owner } from './owner.ts';

/** A Vault token that prints as nothing. */
export class VaultToken {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[vault token]';
  }

  toJSON(): string {
    return '[vault token]';
  }

  [inspect.custom](): string {
    return '[vault token]';
  }
}

/** What Vault said last time. */
export interface VerifiedBefore {
  readonly identity: Identity;
  /** Whether it may answer where Vault failed so. */
  bridges(error: unknown): boolean;
}

/** Who Vault says is calling. */
export interface Identity {
  /** The AppRole's role name, which Vault puts into the login's metadata. */
  readonly tenant: string;
  /** The role_id it logged in with. */
  readonly clientId: string;
  /** The tenant's own batch token: what the broker reads for this tenant, it reads with this. */
  readonly token: VaultToken;
  /** The address that Vault was told, for credentials bound to addresses; undefined where none is forwarded. */
  readonly forwardedFor: string | undefined;
  /** When the token, or the secret_id if that is sooner, ends; ms since 1970. */
  readonly expiresAt: number;
  /** When the credential itself ends, as its metadata and its rotation say; ms since 1970, Infinity where no end is known. */
  readonly endsAt: number;
  /** Its credential is good for so many logins only, which Vault counts: it is never taken for good without asking. */
  readonly counted?: true | undefined;
  /** It is served by what Vault said before, since Vault can't be asked now. Set by whoever remembers it; the audit marks it. */
  unasked?: boolean;
  /** The verification of this credential before it, until what this one may do was read: it answers for a Vault that fails then. */
  before?: VerifiedBefore | undefined;
  /**
   * The token is the caller's own, lent for this one request (RFC 8693): it is used only while that request waits, and the
   * identity is not remembered.
   */
  readonly lent?: true | undefined;
  /** What an API key or a trust is narrowed to, within the tenant's grants; undefined: all of them. */
  readonly limit?: { readonly scopes: readonly string[] } | undefined;
  /** Names the API key that it logged in with: kept with its last use, and where a rotation ends it. No secret. */
  readonly keyId?: string | undefined;
  /** How often the API key may be used, beside what its tenant may. */
  readonly limits?: Limits | undefined;
  /** The person whose API key it is; undefined: the tenant's own. */
  readonly owner?: Owner | undefined;
  /** Names any other secret_id that `secret issue` made, by which its end is announced. No secret. */
  readonly credentialId?: string | undefined;
  /** Names the trust by which its workload was known. No secret. */
  readonly trust?: string | undefined;
  /** When a lent Vault token was made, by Vault's clock; seconds since 1970. One of a login of our own is made just now. */
  readonly createdAt?: number | undefined;
}

/**
 * Longest life of a tenant's Vault token, seconds. A batch token can't be revoked, so whoever has one goes on until it ends: a longer one
 * is refused. What ends a credential is remembered for longer than this.
 */
export const MAX_TOKEN_TTL = 3600;

/** Tenant and API names: what may become a Vault path segment. */
export const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
