import { RemoteIssuer } from '#broker/token/remote-issuer.ts';
import type { RemoteIssuerOptions, Verdict } from '#broker/token/remote-issuer.ts';
import { Problem } from './problem.ts';

export interface BearerOptions extends RemoteIssuerOptions {
  audience: string;
}

/** An Auth0 access token that is what it claims to be. */
export interface VerifiedBearer {
  readonly jwt: string;
  readonly subject: string;
  readonly permissions: readonly string[];
  /** `org_id`, where it is one organization's; its form is not checked. */
  readonly organization?: string | undefined;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  /** ms since 1970. */
  readonly expiresAt: number;
}

/** Seconds by which the issuer's clock and ours may differ. */
const CLOCK_TOLERANCE = 5;
/** No access token is longer, and Vault would not take it. */
const MAX_LENGTH = 6144;

/**
 * Verifies the access token of a back end (RFC 9068 and Auth0's own dialect), so that a refusal can say why. Vault verifies it once more.
 */
export class BearerVerifier {
  readonly #audience: string;
  readonly #userinfo: string;
  readonly #issuer: RemoteIssuer;

  constructor(options: BearerOptions) {
    this.#audience = options.audience;
    this.#userinfo = `${options.issuer}userinfo`;
    this.#issuer = new RemoteIssuer(options);
  }

  /** @throws {Problem} invalid-token; {PosternError} temporarily_unavailable where the issuer's keys can't be fetched */
  async verify(jwt: string): Promise<VerifiedBearer> {
    if (jwt.length > MAX_LENGTH) throw invalid('is not an access token');
    const verdict = await this.#issuer.verify(jwt, {
      audience: this.#audience,
      clockTolerance: CLOCK_TOLERANCE,
      requiredClaims: ['exp', 'iat', 'sub'],
    });
    if (verdict.fault !== undefined) throw invalid(wording(verdict));
    const { sub, iat, exp, aud, permissions = [] } = verdict.claims;
    if (typeof sub !== 'string' || sub === '' || iat === undefined || exp === undefined) throw invalid('has no subject or no end');
    // An access token for several APIs opens them all. Auth0 adds its own userinfo endpoint where a person asked for `openid`.
    if ([aud].flat().some((one) => one !== this.#audience && one !== this.#userinfo)) throw invalid('is for further audiences too');
    if (!Array.isArray(permissions) || !permissions.every((one) => typeof one === 'string'))
      throw invalid('has permissions of another form than Auth0 gives them');
    const { org_id: organization } = verdict.claims;
    return {
      jwt,
      subject: sub,
      permissions,
      organization: typeof organization === 'string' ? organization : undefined,
      issuedAt: iat,
      expiresAt: exp * 1000,
    };
  }
}

const FAULTS = {
  malformed: 'is not a signed JWT',
  algorithm: 'is not signed with RS256',
  signature: "is not signed by this issuer's key",
  type: "has a typ other than an access token's",
  ended: 'has ended',
  claim: 'lacks a claim, or has one that is not right',
} as const;

const CLAIMS: Readonly<Record<string, string>> = {
  iss: 'is of another issuer',
  aud: 'is for another audience',
  nbf: 'is not good yet',
  iat: 'has no time of issue',
  exp: 'has no end',
  sub: 'has no subject',
};

function wording({ fault, claim }: Extract<Verdict, { fault: string }>): string {
  return (claim === undefined ? undefined : CLAIMS[claim]) ?? FAULTS[fault];
}

function invalid(what: string): Problem {
  return new Problem('invalid-token', `The access token ${what}`);
}
