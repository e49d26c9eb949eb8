import type { JWTPayload } from 'jose';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';
import { CLOCK_TOLERANCE } from '#broker/token/issued-tokens.ts';
import { RemoteIssuer } from '#broker/token/remote-issuer.ts';
import type { RemoteIssuerOptions, TokenFault } from '#broker/token/remote-issuer.ts';

export interface VerifiedClaims {
  readonly iat: number;
  readonly exp: number;
  readonly scope: string;
  readonly all: JWTPayload;
}

export interface Auth0VerifierOptions extends Omit<RemoteIssuerOptions, 'pauseMs'> {
  /** Of a fetch of the key set, ms. */
  timeoutMs: number;
}

/** Checks a token from Auth0 before it is cached: signature, issuer, audience, application, and no more scopes than were granted. */
export class Auth0Verifier {
  readonly #now: () => number;
  readonly #auth0: RemoteIssuer;

  constructor(options: Auth0VerifierOptions) {
    this.#now = options.now ?? Date.now;
    // Nobody but Auth0 hands tokens in here.
    this.#auth0 = new RemoteIssuer({ ...options, pauseMs: 2_000 });
  }

  /**
   * Before a token is paid for: that it can be verified.
   * @throws {PosternError} temporarily_unavailable
   */
  ready(): Promise<void> {
    return this.#auth0.ready();
  }

  /** See {@link RemoteIssuer.look}. */
  look(): Promise<void> {
    return this.#auth0.look();
  }

  /** See {@link RemoteIssuer.hasWithdrawn}. */
  hasWithdrawn(kid: string): boolean {
    return this.#auth0.hasWithdrawn(kid);
  }

  /**
   * @throws {PosternError} misconfigured for a token other than the one asked for; temporarily_unavailable when Auth0's keys
   *   can't be fetched
   */
  async verify(accessToken: string, grant: AuthorizedGrant, clientId: string): Promise<VerifiedClaims> {
    const verdict = await this.#auth0.verify(accessToken, { audience: grant.audience, clockTolerance: CLOCK_TOLERANCE });
    if (verdict.fault !== undefined)
      throw refused(`${FAULTS[verdict.fault]}${verdict.claim === undefined ? '' : ` (${verdict.claim})`}`, verdict.fault === 'ended');
    const all = verdict.claims;
    const { azp = clientId, client_id: rfc9068 = clientId, aud, iat, exp, scope = '', permissions = [] } = all;
    if (azp !== clientId || rfc9068 !== clientId || (all['azp'] ?? all['client_id']) === undefined)
      throw refused('it was issued to another application');
    // jose is content with one audience among several: such a token would open the other APIs too.
    if ([aud].flat().length !== 1) throw refused('it is for further audiences too');
    if (iat === undefined || exp === undefined) throw refused('it has no iat or exp');
    if (iat > this.#now() / 1000 + CLOCK_TOLERANCE) throw refused("its iat lies in the future: is this machine's clock right?", true);
    if (typeof scope !== 'string' || !Array.isArray(permissions))
      throw refused('its scope or permissions do not have the form that Auth0 gives them');
    const excess = [...scope.split(' '), ...(permissions as unknown[])].filter((s) => s !== '' && !grant.scopes.includes(s as string));
    if (excess.length > 0)
      throw refused(
        'it has scopes that the tenant was not granted. An API whose tenants have no scopes must have none in the client grant',
      );
    return { iat, exp, scope, all };
  }
}

const FAULTS: Readonly<Record<TokenFault, string>> = {
  malformed: 'it is not a signed JWT',
  algorithm: 'it is not signed with RS256',
  signature: 'none of the keys that Auth0 publishes has signed it',
  type: 'its typ is not that of an access token',
  ended: 'it has ended already',
  claim: 'a claim is missing or not what was asked for',
};

/** @param here whether this machine's clock may be to blame, since Auth0 has just made the token */
function refused(why: string, here = false): PosternError {
  return new PosternError('misconfigured', 'Service temporarily unavailable', {
    detail: `The token from Auth0 is refused: ${why}`,
    retryAfter: 10,
    here,
  });
}
