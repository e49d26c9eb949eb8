import { verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeProtectedHeader, errors, UnsecuredJWT } from 'jose';
import type { JWTClaimVerificationOptions, JWTPayload, ProtectedHeaderParameters } from 'jose';

export interface SignedJwt {
  readonly payload: JWTPayload;
  readonly protectedHeader: ProtectedHeaderParameters;
}

/** `{"alg":"none"}`: what stands before claims whose signature was checked already. */
const UNSECURED = 'eyJhbGciOiJub25lIn0';

/**
 * Verifies a JWT as jose's `jwtVerify` does for RS256 (RFC 7515 §5.2, RFC 7518 §3.3), but checks its signature here and not in another
 * thread: that takes twice the processor time, and where there is one processor the event loop waits for those threads. The claims are
 * jose's to check.
 *
 * @param find the public key, RSA, that its header names
 * @throws {errors.JOSEError} as `jwtVerify`; what `find` throws
 */
export async function verifySignedJwt(
  jwt: string,
  find: (header: ProtectedHeaderParameters) => KeyObject | Promise<KeyObject>,
  claims: JWTClaimVerificationOptions,
): Promise<SignedJwt> {
  const [head, payload, signature, ...more] = jwt.split('.');
  if (head === undefined || payload === undefined || signature === undefined || more.length > 0)
    throw new errors.JWSInvalid('Invalid Compact JWS');
  const protectedHeader = headerOf(jwt);
  const { alg, crit } = protectedHeader;
  if (typeof alg !== 'string') throw new errors.JWSInvalid('JWS "alg" (Algorithm) Header Parameter missing or invalid');
  if (alg !== 'RS256') throw new errors.JOSEAlgNotAllowed('"alg" (Algorithm) Header Parameter value not allowed');
  // RFC 7515 §4.1.11: none is understood.
  if (crit !== undefined) throw new errors.JOSENotSupported('"crit" (Critical) Header Parameter is not supported');
  const key = await find(protectedHeader);
  if (key.asymmetricKeyType !== 'rsa' || (key.asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_BITS)
    throw new errors.JWSSignatureVerificationFailed();
  const signed = Buffer.from(jwt.slice(0, head.length + 1 + payload.length), 'latin1');
  if (!verify('sha256', signed, key, Buffer.from(signature, 'base64url'))) throw new errors.JWSSignatureVerificationFailed();
  return { payload: UnsecuredJWT.decode(`${UNSECURED}.${payload}.`, claims).payload, protectedHeader };
}

/** RFC 7518 §3.3. */
const LEAST_BITS = 2048;

function headerOf(jwt: string): ProtectedHeaderParameters {
  try {
    return decodeProtectedHeader(jwt);
  } catch {
    throw new errors.JWSInvalid('JWS Protected Header is invalid');
  }
}
