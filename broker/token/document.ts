import { z } from 'zod';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Lease, StoredToken } from './store.ts';
import { Token } from './token.ts';

/** The year 9999's end, seconds since 1970: what is later is no time, and the document is overwritten. */
const LATEST = 253_402_300_799;
const seconds = z.number().min(0).max(LATEST);
const milliseconds = z
  .number()
  .min(0)
  .max(LATEST * 1000);

/** What a shared store holds of one grant, whatever store that is. */
export const tokenDocument = z.object({
  /** The digest of the grant's key: a token of another grant at this place does not count. */
  grant: z.string(),
  access_token: z.string().optional(),
  token_type: z.literal('Bearer').optional(),
  scope: z.string().optional(),
  /** Seconds since 1970. */
  issued_at: seconds.optional(),
  expires_at: seconds.optional(),
  lease: z.object({ holder: z.string(), until: milliseconds, paused: z.boolean() }).optional(),
});

export type TokenDocument = z.infer<typeof tokenDocument>;

export function documentOf(grant: Pick<AuthorizedGrant, 'digest'>, token: Token | undefined, lease: Lease | undefined): TokenDocument {
  return {
    grant: grant.digest,
    ...(token === undefined
      ? {}
      : { access_token: token.reveal(), token_type: 'Bearer', scope: token.scope, issued_at: token.issuedAt, expires_at: token.expiresAt }),
    ...(lease === undefined ? {} : { lease }),
  };
}

export function tokenOf(
  { access_token: accessToken, scope, issued_at: issuedAt, expires_at: expiresAt }: TokenDocument,
  jitter?: number,
): Token | undefined {
  const whole = accessToken !== undefined && scope !== undefined && issuedAt !== undefined && expiresAt !== undefined;
  return whole ? new Token(accessToken, scope, issuedAt, expiresAt, jitter) : undefined;
}

/** @param version of what was found, which may be something else than this grant's: it is then overwritten by its version */
export function storedOf(found: TokenDocument | undefined, version: number, grant: AuthorizedGrant, jitter?: number): StoredToken {
  if (found === undefined || found.grant !== grant.digest) return { token: undefined, lease: undefined, version };
  return { token: tokenOf(found, jitter), lease: found.lease, version };
}
