import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeProtectedHeader, errors, jwtVerify } from 'jose';
import type { ClientAssertion } from './assertion.ts';

/**
 * Signatures that are taken: Auth0's three for private_key_jwt, and ES256. All asymmetric, so that no public key can pass for
 * a shared secret. The type of key that each needs, as Node names it.
 */
const KEY_TYPES = { RS256: 'rsa', RS384: 'rsa', PS256: 'rsa', ES256: 'ec' } as const;
export const ASSERTION_ALGORITHMS = Object.keys(KEY_TYPES) as readonly (keyof typeof KEY_TYPES)[];

/** Longest time from now to an assertion's end, seconds; Auth0's too. */
const ASSERTION_LIFE = 300;
/** How far a client's clock may be off, seconds. */
export const ASSERTION_SKEW = 30;
const MAX_JTI = 255;

/** A client's public key. Without a kid it stands for whatever kid an assertion names. */
export interface ClientKey {
  readonly kid: string | undefined;
  readonly key: KeyObject;
}

/** What a good assertion says of itself. */
export interface AssertionClaims {
  readonly jti: string;
  /** Seconds since 1970. */
  readonly exp: number;
}

/** Why an assertion is refused: for the operator's log, never for the client. Holds nothing of the assertion's content. */
export class BadAssertion extends Error {
  override readonly name = 'BadAssertion';
}

/** Media types of header `typ`, which may be left out: the old one, and that of the successor of RFC 7523. */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'client-authentication+jwt']);
/** RFC 7515 §4.1: keys that an assertion brings along, or says where to find. */
const BROUGHT_KEYS = ['jwk', 'jku', 'x5u', 'x5c'] as const;

/** Keys of nobody, so that an unknown client or kid costs as much time as a wrong signature. Made once, when first needed. */
let decoys: readonly ClientKey[] | undefined;

/**
 * Verifies an assertion (RFC 7523 §3) by the client's keys alone.
 * @param keys none where the client is unknown; it then fails after as much work.
 * @param audiences what `aud` may name: the issuer, or the token endpoint; an assertion for anybody else besides is refused.
 * @param nowMs ms since 1970
 * @throws {BadAssertion}
 */
export async function checkAssertion(
  assertion: ClientAssertion,
  keys: readonly ClientKey[],
  audiences: readonly string[],
  nowMs: number,
): Promise<AssertionClaims> {
  const { alg, kid } = headerOf(assertion);
  const fitting = keys.filter(
    (candidate) => fits(candidate.key, alg) && (candidate.kid === undefined || kid === undefined || candidate.kid === kid),
  );
  decoys ??= makeDecoys();
  const candidates = fitting.length > 0 ? fitting : decoys.filter(({ key }) => fits(key, alg));
  const options = {
    algorithms: [alg],
    issuer: assertion.clientId,
    subject: assertion.clientId,
    audience: [...audiences],
    requiredClaims: ['exp', 'jti'],
    clockTolerance: ASSERTION_SKEW,
    currentDate: new Date(nowMs),
  };
  for (const { key } of candidates) {
    try {
      const { payload } = await jwtVerify(assertion.reveal(), key, options);
      return checkedClaims(payload, audiences, nowMs / 1000);
    } catch (error) {
      if (error instanceof BadAssertion) throw error;
      // Not by this key; all else is a fault of the assertion.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw new BadAssertion(reasonOf(error));
    }
  }
  throw new BadAssertion(fitting.length > 0 ? 'no key of the client made this signature' : 'the client has no such key');
}

function headerOf(assertion: ClientAssertion): { alg: keyof typeof KEY_TYPES; kid: string | undefined } {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(assertion.reveal());
  } catch {
    throw new BadAssertion('the header is not a JSON object');
  }
  const { alg, kid, typ } = header;
  if (!isAlgorithm(alg)) throw new BadAssertion(`alg must be one of ${ASSERTION_ALGORITHMS.join(', ')}`);
  if (typ !== undefined && !TYPES.has(mediaTypeOf(typ))) throw new BadAssertion('typ is not that of a client assertion');
  if (kid !== undefined && typeof kid !== 'string') throw new BadAssertion('kid is not text');
  const brought = BROUGHT_KEYS.find((name) => name in header);
  if (brought !== undefined) throw new BadAssertion(`the header brings a key along: ${brought}`);
  return { alg, kid };
}

/** RFC 7515 §4.1.9: a media type, in any case, whose `application/` may be left out where no other slash is in it. */
function mediaTypeOf(typ: unknown): string {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
}

function isAlgorithm(alg: unknown): alg is keyof typeof KEY_TYPES {
  return typeof alg === 'string' && Object.hasOwn(KEY_TYPES, alg);
}

function fits(key: KeyObject, alg: keyof typeof KEY_TYPES): boolean {
  return key.asymmetricKeyType === KEY_TYPES[alg];
}

function checkedClaims(payload: Readonly<Record<string, unknown>>, audiences: readonly string[], now: number): AssertionClaims {
  const { aud, exp, iat, jti } = payload;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI)
    throw new BadAssertion(`jti is not text of 1 to ${MAX_JTI} characters`);
  if (typeof exp !== 'number' || !Number.isFinite(exp)) throw new BadAssertion('exp is not a time');
  if (exp > now + ASSERTION_LIFE + ASSERTION_SKEW) throw new BadAssertion(`exp is more than ${ASSERTION_LIFE} seconds away`);
  if (typeof iat === 'number' && iat > now + ASSERTION_SKEW) throw new BadAssertion('iat lies ahead');
  const named: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (named.some((one) => typeof one !== 'string' || !audiences.includes(one))) throw new BadAssertion('aud names somebody else too');
  return { jti, exp };
}

/** jose's own words name a claim or a header, never what stands in it. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) return `${error.claim} ${error.reason}`;
  return error instanceof errors.JOSEError ? error.code : 'malformed';
}

function makeDecoys(): ClientKey[] {
  const { publicKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { publicKey: ec } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return [rsa, ec].map((key) => ({ kid: undefined, key }));
}
