import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { JWTPayload } from 'jose';
import { NAME } from '#broker/credential/identity.ts';
import { KEY_ID, OWNER, ownerClaims } from '#broker/credential/owner.ts';

/** A token that one of our sources issued, as its verified claims tell. */
export interface IssuedToken {
  /** Hexadecimal: the only form in which it is remembered. */
  readonly sha256: string;
  readonly claims: JWTPayload;
  /** Whose it is; undefined where it is bound by its organization alone. */
  readonly tenant: string | undefined;
  readonly organization: string | undefined;
  /** The person for whom it was issued, and their key; undefined: the tenant itself. */
  readonly owner?: { readonly id: string; readonly keyId: string } | undefined;
  readonly audience: string;
  readonly scope: string;
  /** The application that it was issued to: the tenant's role_id, or with source auth0 the shared one. */
  readonly clientId: string;
  /** Whether that is the shared one. */
  readonly sharedClient: boolean;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
}

/** The port to an issuer's judgement of a token. */
export interface TokenJudge {
  /** With its trailing slash. */
  readonly issuer: string;
  /** Whether all its tokens are issued to one application, so that their client_id tells nothing of the tenant. */
  readonly sharedClient: boolean;
  /**
   * Verifies a token by its issuer's keys.
   * @returns its claims; undefined for one that the issuer did not sign, that has ended, or that was issued to another application
   * @throws {PosternError} temporarily_unavailable when the keys can't be had
   */
  judge(accessToken: string): Promise<JWTPayload | undefined>;
  /** Whether the keys that its issuer publishes, as last seen here, lack the one of this kid; undefined where Vault has them. */
  readonly lacks?: (kid: string) => boolean;
}

/** Longest token that is looked at, characters: the longest that a reply has carried are some 2,000. */
const MAX_LENGTH = 8_192;
/** Seconds by which an issuer's clock may be ahead of ours. */
export const CLOCK_TOLERANCE = 30;
/** RFC 7515 §3.1. */
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export interface IssuedTokensOptions {
  /** One for each source. */
  judges: readonly TokenJudge[];
  /** The namespaced claim that names the tenant. */
  tenantClaim: string;
  /** By issuer: the clock by which its tokens end; ms since 1970. Default: this machine's. */
  now?: ((issuer: string) => number) | undefined;
}

/** Reads what somebody presents as an access token. What no source of ours issued, or what has ended, does not count. */
export class IssuedTokens {
  readonly #judges: ReadonlyMap<string, TokenJudge>;
  readonly #tenantClaim: string;
  readonly #now: (issuer: string) => number;

  constructor(options: IssuedTokensOptions) {
    this.#judges = new Map(options.judges.map((judge) => [judge.issuer, judge]));
    this.#tenantClaim = options.tenantClaim;
    this.#now = options.now ?? Date.now;
  }

  /** Whether its issuer, where that is one of ours, doesn't publish the key that has signed it. @param signedBy as `Token.signedBy` */
  lacksKey(signedBy: string): boolean {
    const [issuer = '', kid = ''] = signedBy.split(' ', 2);
    return this.#judges.get(issuer)?.lacks?.(kid) === true;
  }

  /** @throws {PosternError} temporarily_unavailable when its issuer's keys can't be had */
  async read(accessToken: string): Promise<IssuedToken | undefined> {
    if (!isToken(accessToken)) return undefined;
    // Unverified: it only tells whose keys to try.
    const issuer = claimsOf(accessToken)?.iss;
    const judge = issuer === undefined ? undefined : this.#judges.get(issuer);
    const claims = await judge?.judge(accessToken);
    return judge === undefined || claims === undefined ? undefined : this.#tokenOf(accessToken, claims, judge);
  }

  /** As it says itself: nobody has looked at its signature. */
  unverified(accessToken: string): IssuedToken | undefined {
    if (!isToken(accessToken)) return undefined;
    const claims = claimsOf(accessToken);
    const judge = claims?.iss === undefined ? undefined : this.#judges.get(claims.iss);
    return judge === undefined || claims === undefined ? undefined : this.#tokenOf(accessToken, claims, judge);
  }

  #tokenOf(accessToken: string, claims: JWTPayload, { issuer, sharedClient }: TokenJudge): IssuedToken | undefined {
    const { aud, iat, exp, scope = '', org_id: organization } = claims;
    const tenant = claims[this.#tenantClaim];
    const audience = [aud].flat();
    const clientId = claims['client_id'] ?? claims['azp'];
    const now = this.#now(issuer) / 1000;
    // Each source checks all this before it gives a token out.
    if (audience.length !== 1 || audience[0] === undefined || typeof clientId !== 'string' || typeof scope !== 'string') return undefined;
    if (iat === undefined || exp === undefined || exp <= now || iat > now + CLOCK_TOLERANCE) return undefined;
    if (tenant !== undefined && !(typeof tenant === 'string' && NAME.test(tenant))) return undefined;
    if (organization !== undefined && typeof organization !== 'string') return undefined;
    const owner = ownerOf(claims, this.#tenantClaim, sharedClient);
    if (owner === 'malformed') return undefined;
    return {
      sha256: sha256Of(accessToken),
      claims,
      tenant,
      organization,
      owner,
      audience: audience[0],
      scope,
      clientId,
      sharedClient,
      iat,
      exp,
    };
  }
}

/** Our own tokens say it by `sub` and `act` (RFC 8693 §4.1), Auth0's by claims of ours. */
function ownerOf(claims: JWTPayload, tenantClaim: string, sharedClient: boolean): IssuedToken['owner'] | 'malformed' {
  const names = ownerClaims(tenantClaim);
  const { act } = claims;
  const [id, keyId] = sharedClient
    ? [claims[names.owner], claims[names.key]]
    : [act === undefined ? undefined : claims.sub, (act as { sub?: unknown } | undefined)?.sub];
  if (id === undefined && keyId === undefined) return undefined;
  return typeof id === 'string' && OWNER.test(id) && typeof keyId === 'string' && KEY_ID.test(keyId) ? { id, keyId } : 'malformed';
}

/**
 * Whether it is a JWS in the one way in which one is written: of a signature's last character some bits mean nothing (RFC 4648 §3.5), and
 * with others there it would be as right in a text that nobody revoked.
 */
function isToken(text: string): boolean {
  if (text.length > MAX_LENGTH || !COMPACT_JWS.test(text)) return false;
  const signature = text.slice(text.lastIndexOf('.') + 1);
  return Buffer.from(signature, 'base64url').toString('base64url') === signature;
}

/** @returns hexadecimal */
function sha256Of(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest('hex');
}

/** Unverified. */
function claimsOf(accessToken: string): JWTPayload | undefined {
  try {
    return decodeJwt(accessToken);
  } catch {
    return undefined;
  }
}
