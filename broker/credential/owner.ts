import { createHash } from 'node:crypto';

/**
 * An Auth0 user, as `sub` and the Management API name one: the connection's strategy, a bar, and the id there. An application
 * (`…@clients`) has no bar, so it can't own a key.
 */
export const OWNER = /^[a-z0-9][a-z0-9_-]{0,63}\|[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,190}$/i;
/** An Auth0 organization's id. */
export const ORGANIZATION = /^org_[A-Za-z0-9]{1,120}$/;
/** Names an API key in lists, in its last use, and where a rotation ends it. No secret. */
export const KEY_ID = /^key_[0-9a-f]{24}$/;

/** The person that an API key belongs to. */
export interface Owner {
  /** The Auth0 user id, such as `auth0|0123456789abcdef`. */
  readonly id: string;
  /** In which organization the key was made; the tenant's, then. */
  readonly organization: string;
  /**
   * When the access token by which they made it was issued, or else the key, seconds since 1970: whoever went after that had no right
   * to it.
   */
  readonly since: number;
}

/**
 * Under which name a person's departure is announced: from everywhere, or from one organization.
 * @param only `sessions`: their keys stay, and their access tokens of before make no new ones
 * @returns hexadecimal; what is announced names nobody
 */
export function departureId(owner: string, organization?: string, only?: 'sessions'): string {
  return createHash('sha256')
    .update(JSON.stringify([owner, organization ?? null, ...(only === undefined ? [] : [only])]))
    .digest('hex');
}

/** The namespaced claims that name owner and key in tokens whose `sub` Auth0 sets itself. */
export function ownerClaims(tenantClaim: string): { readonly owner: string; readonly key: string } {
  return { owner: `${tenantClaim}_owner`, key: `${tenantClaim}_key` };
}

/** In a departure: everybody, of an organization that is gone. */
export const EVERYBODY = '*';

/** Somebody went: from everywhere, or from one organization. Their keys made until then are void. */
export interface Departure {
  readonly owner: string;
  readonly organization?: string | undefined;
  /** Seconds since 1970. */
  readonly at: number;
  /** Their access tokens of before, while their keys stay. */
  readonly only?: 'sessions' | undefined;
}
