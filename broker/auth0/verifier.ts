import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { JWTPayload } from 'jose';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';

export interface VerifiedClaims {
  readonly iat: number;
  readonly exp: number;
  readonly scope: string;
  readonly all: JWTPayload;
}

export interface Auth0VerifierOptions {
  issuer: string;
  timeoutMs: number;
  now: () => number;
}

/** Seconds by which Auth0's clock and ours may differ. */
const CLOCK_TOLERANCE = 30;

/** Checks a token from Auth0 before it is cached: signature, issuer, audience, application, and no more scopes than were granted. */
export class Auth0Verifier {
  readonly #issuer: string;
  readonly #now: () => number;
  /** Keys are fetched again for an unknown kid, at most each 30 s. */
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;

  constructor(options: Auth0VerifierOptions) {
    this.#issuer = options.issuer;
    this.#now = options.now;
    this.#keys = createRemoteJWKSet(new URL('.well-known/jwks.json', options.issuer), {
      timeoutDuration: options.timeoutMs,
      cooldownDuration: 30_000,
    });
  }

  /** @throws {PosternError} misconfigured for a token that is not what was asked for; temporarily_unavailable when Auth0's keys can't be fetched */
  async verify(accessToken: string, grant: AuthorizedGrant, clientId: string): Promise<VerifiedClaims> {
    const all = await this.#claims(accessToken, grant);
    const { azp = clientId, client_id: rfc9068 = clientId, aud, iat, exp, scope = '', permissions = [] } = all;
    if (azp !== clientId || rfc9068 !== clientId || (all['azp'] ?? all['client_id']) === undefined)
      throw refused('it was issued to another application');
    // jose is content with one audience among several: such a token would open the other APIs too.
    if ([aud].flat().length !== 1) throw refused('it is for further audiences too');
    if (iat === undefined || exp === undefined) throw refused('it has no iat or exp');
    if (iat > this.#now() / 1000 + CLOCK_TOLERANCE) throw refused("its iat lies in the future: is this machine's clock right?");
    if (typeof scope !== 'string' || !Array.isArray(permissions))
      throw refused('its scope or permissions are not of the form that Auth0 gives them');
    const excess = [...scope.split(' '), ...(permissions as unknown[])].filter((s) => s !== '' && !grant.scopes.includes(s as string));
    if (excess.length > 0)
      throw refused(
        'it has scopes that the tenant was not granted. An API whose tenants have no scopes must have none in the client grant',
      );
    return { iat, exp, scope, all };
  }

  async #claims(accessToken: string, grant: AuthorizedGrant): Promise<JWTPayload> {
    try {
      const { payload, protectedHeader } = await jwtVerify(accessToken, this.#keys, {
        issuer: this.#issuer,
        audience: grant.audience,
        algorithms: ['RS256'],
        clockTolerance: CLOCK_TOLERANCE,
      });
      if (protectedHeader.typ !== undefined && !/^(application\/)?(at\+)?jwt$/i.test(protectedHeader.typ))
        throw refused("its typ is no access token's");
      return payload;
    } catch (error) {
      if (error instanceof PosternError) throw error;
      const { code } = error as { code?: string };
      if (code === 'ERR_JWKS_TIMEOUT' || code === undefined || code === 'ERR_JOSE_GENERIC') {
        throw new PosternError('temporarily_unavailable', 'The token issuer is not available', {
          detail: "Auth0's keys cannot be fetched",
          retryAfter: 2,
        });
      }
      throw refused(code);
    }
  }
}

function refused(why: string): PosternError {
  return new PosternError('misconfigured', 'Service temporarily unavailable', {
    detail: `The token from Auth0 is refused: ${why}`,
    retryAfter: 10,
  });
}
