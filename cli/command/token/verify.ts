import { createRemoteJWKSet, customFetch, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import type { JWTPayload, ProtectedHeaderParameters } from 'jose';
import { MAX_DOCUMENT, boundedFetch } from '#broker/bounded-fetch.ts';
import { PosternError } from '#broker/error.ts';
import { httpsOrLoopback } from '#broker/loopback.ts';
import { silenceOf } from '#broker/silence.ts';

export interface DecodedToken {
  header: ProtectedHeaderParameters;
  claims: JWTPayload;
  /** Where the keys came from; undefined where they were not found. */
  jwksUri: string | undefined;
  /** Why a service would refuse it; undefined: it is good. */
  fault: string | undefined;
}

const TIMEOUT_MS = 5_000;

/**
 * Decodes an access token and verifies it as a service does: by the issuer's discovery document and key set, RS256 only.
 * @throws {PosternError} misconfigured where it is not a JWT
 */
export async function decodeAndVerify(token: string, audience: string | undefined): Promise<DecodedToken> {
  let header: ProtectedHeaderParameters;
  let claims: JWTPayload;
  try {
    header = decodeProtectedHeader(token);
    claims = decodeJwt(token);
  } catch {
    throw new PosternError('misconfigured', 'The access token is not a JWT, so services cannot verify it by themselves', {
      detail: 'Does the API exist at Auth0 (postern doctor)? Auth0 gives opaque tokens where it does not.',
    });
  }
  const { iss } = claims;
  if (typeof iss !== 'string') return { header, claims, jwksUri: undefined, fault: 'it names no issuer' };
  let jwksUri: string | undefined;
  try {
    jwksUri = await discover(iss);
  } catch (error) {
    const why = error instanceof SyntaxError ? 'it is no JSON' : silenceOf(error).why;
    return { header, claims, jwksUri, fault: `the discovery document of ${iss} cannot be read: ${why}` };
  }
  if (jwksUri === undefined) return { header, claims, jwksUri, fault: `the discovery document of ${iss} cannot be read` };
  try {
    const keys = createRemoteJWKSet(new URL(jwksUri), { timeoutDuration: TIMEOUT_MS, [customFetch]: boundedFetch(MAX_DOCUMENT) });
    await jwtVerify(token, keys, { issuer: iss, algorithms: ['RS256'], ...(audience === undefined ? {} : { audience }) });
    return { header, claims, jwksUri, fault: undefined };
  } catch (error) {
    const why = error instanceof errors.JOSEError ? error.message : `the keys at ${jwksUri} cannot be read: ${silenceOf(error).why}`;
    return { header, claims, jwksUri, fault: why };
  }
}

/** OpenID Connect Discovery 1.0 §4. */
async function discover(issuer: string): Promise<string | undefined> {
  const url = new URL('.well-known/openid-configuration', issuer.endsWith('/') ? issuer : `${issuer}/`);
  // The issuer is the token's own word, which is not verified yet.
  if (!httpsOrLoopback(url)) return undefined;
  const response = await boundedFetch(MAX_DOCUMENT)(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) return undefined;
  const { issuer: named, jwks_uri: jwksUri } = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  return named === issuer && typeof jwksUri === 'string' ? jwksUri : undefined;
}
