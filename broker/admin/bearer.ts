import { createRemoteJWKSet, customFetch, errors, jwtVerify } from 'jose';
import type { FetchImplementation, JWTPayload } from 'jose';
import { PosternError } from '#broker/error.ts';
import { Problem } from './problem.ts';

export interface BearerOptions {
  /** With its trailing slash. */
  issuer: string;
  audience: string;
  /** Of one fetch of the issuer's keys, ms. Default 5000. */
  timeoutMs?: number;
  now?: () => number;
}

/** An Auth0 access token that is what it claims to be. */
export interface VerifiedBearer {
  readonly jwt: string;
  readonly subject: string;
  readonly permissions: readonly string[];
  /** ms since 1970. */
  readonly expiresAt: number;
}

/** Seconds by which Auth0's clock and ours may differ. */
const CLOCK_TOLERANCE = 5;
/** After a failed fetch of the keys, ms: jose itself would make one for each token that somebody made up. */
const PAUSE = 5_000;
/** Longer ones are nobody's access token, and Vault would not take them. */
const MAX_LENGTH = 6144;

/** Verifies the access token of a back end (RFC 9068 and Auth0's own dialect), so that a refusal can say what is wrong. Vault verifies it once more. */
export class BearerVerifier {
  readonly #options: BearerOptions;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  readonly #now: () => number;
  #pausedUntil = 0;

  constructor(options: BearerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#keys = createRemoteJWKSet(new URL('.well-known/jwks.json', options.issuer), {
      timeoutDuration: options.timeoutMs ?? 5000,
      cooldownDuration: 30_000,
      [customFetch]: (...request: Parameters<FetchImplementation>) => this.#fetch(...request),
    });
  }

  /** @throws {Problem} invalid-token; {PosternError} temporarily_unavailable where the issuer's keys can't be fetched */
  async verify(jwt: string): Promise<VerifiedBearer> {
    if (jwt.length > MAX_LENGTH) throw invalid('is no access token');
    const payload = await this.#payload(jwt);
    const { sub, exp, permissions = [] } = payload;
    if (typeof sub !== 'string' || sub === '' || exp === undefined) throw invalid('has no subject or no end');
    // An ID token names the application as its audience; an access token for several APIs opens them all.
    if ([payload.aud].flat().length !== 1) throw invalid('is for further audiences too');
    if (!Array.isArray(permissions) || !permissions.every((one) => typeof one === 'string'))
      throw invalid('has permissions of another form than Auth0 gives them');
    return { jwt, subject: sub, permissions, expiresAt: exp * 1000 };
  }

  async #fetch(...[url, options]: Parameters<FetchImplementation>): Promise<Response> {
    if (this.#now() < this.#pausedUntil) throw away();
    const response = await fetch(url, options).catch(() => undefined);
    if (response?.status === 200) return response;
    await response?.body?.cancel();
    this.#pausedUntil = this.#now() + PAUSE;
    throw away();
  }

  async #payload(jwt: string): Promise<JWTPayload> {
    const { issuer, audience } = this.#options;
    try {
      const { payload, protectedHeader } = await jwtVerify(jwt, this.#keys, {
        issuer,
        audience,
        algorithms: ['RS256'],
        clockTolerance: CLOCK_TOLERANCE,
        requiredClaims: ['exp', 'iat', 'sub'],
      });
      if (protectedHeader.typ !== undefined && !/^(application\/)?(at\+)?jwt$/i.test(protectedHeader.typ))
        throw invalid("has a typ that is no access token's");
      return payload;
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw refusalOf(error);
    }
  }
}

function refusalOf(error: unknown): Problem | PosternError {
  if (error instanceof errors.JWTExpired) return invalid('has ended');
  if (error instanceof errors.JWTClaimValidationFailed)
    return invalid(CLAIMS[error.claim] ?? 'lacks a claim, or has one that is not right');
  if (error instanceof errors.JOSEAlgNotAllowed) return invalid('is not signed with RS256');
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed)
    return invalid("is not signed by this issuer's key");
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid || error instanceof errors.JOSENotSupported)
    return invalid('is no signed JWT');
  return away();
}

function away(): PosternError {
  return new PosternError('temporarily_unavailable', 'The token issuer is not available', {
    detail: "Auth0's keys cannot be fetched (POSTERN_AUTH0_ISSUER)",
    retryAfter: 2,
  });
}

const CLAIMS: Record<string, string> = {
  iss: 'is of another issuer',
  aud: 'is for another audience',
  nbf: 'is not good yet',
  iat: 'has no time of issue',
  exp: 'has no end',
  sub: 'has no subject',
};

function invalid(what: string): Problem {
  return new Problem('invalid-token', `The access token ${what}`);
}
