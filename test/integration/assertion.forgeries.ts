import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/*
 * Client assertions that must not be taken, made by hand: a library would refuse to make most of them.
 */

export interface ClientSigner {
  clientId: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
  kid?: string;
}

export type Claims = Record<string, unknown>;

const part = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const HASHES: Record<string, string> = {
  RS256: 'sha256',
  RS384: 'sha384',
  RS512: 'sha512',
  PS256: 'sha256',
  ES256: 'sha256',
  ES384: 'sha384',
};

/** Signs whatever it is told to, under whatever header. */
export function forge(
  header: Record<string, unknown> | string,
  claims: Claims | string,
  key: KeyObject,
  algorithm = String((header as { alg?: unknown }).alg),
): string {
  const input = `${part(header)}.${part(claims)}`;
  const options = algorithm.startsWith('PS')
    ? { key, padding: 6, saltLength: 32 }
    : algorithm.startsWith('ES')
      ? { key, dsaEncoding: 'ieee-p1363' as const }
      : key;
  return `${input}.${sign(HASHES[algorithm] ?? 'sha256', Buffer.from(input), options).toString('base64url')}`;
}

export function goodClaims({ clientId }: ClientSigner, audience: string, more: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  return { iss: clientId, sub: clientId, aud: audience, iat: now, exp: now + 60, jti: randomUUID(), ...more };
}

const headerOf = ({ kid, privateKey }: ClientSigner, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  alg: privateKey.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256',
  ...(kid === undefined ? {} : { kid }),
  ...more,
});

/** A good one. */
export function assertionOf(signer: ClientSigner, audience: string, claims: Claims = {}, header: Record<string, unknown> = {}): string {
  return forge(headerOf(signer, header), goodClaims(signer, audience, claims), signer.privateKey);
}

export interface Forgery {
  fault: string;
  jwt: string;
}

/**
 * One of each fault for this victim; called again, each is a new one.
 * @param other another client of the same broker, whose key is registered too
 * @param accessToken a token that the broker issued
 */
export function forgeries(victim: ClientSigner, other: ClientSigner, audience: string, accessToken: string): Forgery[] {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const strangerRsa = STRANGER_RSA;
  const now = Math.floor(Date.now() / 1000);
  const claims = (more: Claims = {}): Claims => goodClaims(victim, audience, more);
  const without = (name: string): Claims => Object.fromEntries(Object.entries(claims()).filter(([key]) => key !== name));
  const header = headerOf(victim);
  const alg = String(header['alg']);
  const signed = (more: Claims, headers: Record<string, unknown> = {}): string =>
    forge({ ...header, ...headers }, claims(more), victim.privateKey, alg);
  const by = (key: KeyObject, algorithm: string, headers: Record<string, unknown> = {}, body: Claims = claims()): string =>
    forge({ ...header, alg: algorithm, ...headers }, body, key);
  const good = signed({});
  const [h = '', p = '', s = ''] = good.split('.');
  const pem = victim.publicKey.export({ type: 'spki', format: 'pem' });
  const der = victim.publicKey.export({ type: 'spki', format: 'der' });
  const hmac = (algorithm: string, secret: string | Buffer): string => {
    const input = `${part({ ...header, alg: algorithm })}.${part(claims())}`;
    return `${input}.${createHmac(`sha${algorithm.slice(2)}`, secret)
      .update(input)
      .digest('base64url')}`;
  };
  const jwk = stranger.publicKey.export({ format: 'jwk' });

  const faults: Record<string, string> = {
    // Algorithms.
    'alg none, no signature': `${part({ alg: 'none' })}.${part(claims())}.`,
    'alg none, a signature': `${part({ alg: 'none' })}.${part(claims())}.${s}`,
    'alg nOnE': `${part({ alg: 'nOnE' })}.${part(claims())}.${s}`,
    'alg NONE with kid': `${part({ ...header, alg: 'NONE' })}.${part(claims())}.AA`,
    'no alg': `${part({ typ: 'JWT' })}.${part(claims())}.${s}`,
    'alg empty': `${part({ alg: '' })}.${part(claims())}.${s}`,
    'alg null': `${part({ alg: null })}.${part(claims())}.${s}`,
    'alg a list': `${part({ alg: [alg] })}.${part(claims())}.${s}`,
    'alg of the prototype': `${part({ alg: 'constructor' })}.${part(claims())}.${s}`,
    'HS256 by the public key, PEM': hmac('HS256', pem),
    'HS256 by the public key, PEM without its last line feed': hmac('HS256', pem.toString().trim()),
    'HS256 by the public key, DER': hmac('HS256', der),
    'HS256 by the client_id': hmac('HS256', victim.clientId),
    'HS256 by nothing': hmac('HS256', ''),
    'HS384 by the public key': hmac('HS384', pem),
    'HS512 by the public key': hmac('HS512', pem),
    'RS512, which is not taken': forge({ ...header, alg: 'RS512' }, claims(), strangerRsa.privateKey),
    'another alg named than used': `${part({ ...header, alg: alg === 'RS256' ? 'PS256' : 'RS256' })}.${p}.${s}`,
    'RS384 named, RS256 used': `${part({ ...header, alg: 'RS384' })}.${p}.${s}`,
    'ES256 in DER': `${h}.${p}.${sign('sha256', Buffer.from(`${h}.${p}`), stranger.privateKey).toString('base64url')}`,
    EdDSA: forgeEd(header, claims()),
    // Keys.
    "a stranger's key": by(stranger.privateKey, 'ES256'),
    "a stranger's RSA key": by(strangerRsa.privateKey, 'RS256'),
    "a stranger's RSA key, PSS": by(strangerRsa.privateKey, 'PS256'),
    "another tenant's key": forge(headerOf(other), claims(), other.privateKey),
    "another tenant's key under the victim's kid": forge(
      { ...headerOf(other), ...(victim.kid === undefined ? {} : { kid: victim.kid }) },
      claims(),
      other.privateKey,
    ),
    'jwk in the header, signed by it': by(stranger.privateKey, 'ES256', { jwk }),
    'jwk in the header, good signature': signed({}, { jwk: victim.publicKey.export({ format: 'jwk' }) }),
    'jku in the header': by(stranger.privateKey, 'ES256', { jku: 'http://127.0.0.1:9/jwks.json' }),
    'jku in the header, good signature': signed({}, { jku: 'http://127.0.0.1:9/jwks.json' }),
    'x5u in the header': by(stranger.privateKey, 'ES256', { x5u: 'http://127.0.0.1:9/cert.pem' }),
    'x5c in the header': by(strangerRsa.privateKey, 'RS256', {
      x5c: [strangerRsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')],
    }),
    'a kid that climbs': by(stranger.privateKey, 'ES256', { kid: '../../../../dev/null' }),
    'a kid that asks a database': by(stranger.privateKey, 'ES256', { kid: "x' UNION SELECT 'key' --" }),
    'a kid that is a path in Vault': by(stranger.privateKey, 'ES256', { kid: 'assertions/../upstream/auth0' }),
    'a kid with a NUL': by(stranger.privateKey, 'ES256', { kid: 'a\0b' }),
    'a kid that is not text': signed({}, { kid: 7 }),
    'a kid that is a list': signed({}, { kid: [victim.kid ?? 'x'] }),
    'a kid of the prototype': by(stranger.privateKey, 'ES256', { kid: '__proto__' }),
    'an unknown crit': signed({}, { crit: ['x'], x: 1 }),
    'an empty crit': signed({}, { crit: [] }),
    'b64 false': signed({}, { crit: ['b64'], b64: false }),
    zip: signed({}, { crit: ['zip'], zip: 'DEF' }),
    // Types.
    'typ at+jwt': signed({}, { typ: 'at+jwt' }),
    'typ dpop+jwt': signed({}, { typ: 'dpop+jwt' }),
    'typ logout+jwt': signed({}, { typ: 'logout+jwt' }),
    'typ JWE': signed({}, { typ: 'JWE' }),
    'typ a number': signed({}, { typ: 1 }),
    'an access token of ours': accessToken,
    'an access token of ours with the claims of an assertion': `${accessToken.split('.')[0]}.${p}.${accessToken.split('.')[2]}`,
    'a good signature over an access token of ours': forge(
      header,
      accessToken.split('.')[1] ? Buffer.from(String(accessToken.split('.')[1]), 'base64url').toString() : '',
      victim.privateKey,
      alg,
    ),
    // Claims.
    'no iss': forge(header, without('iss'), victim.privateKey, alg),
    'no sub': forge(header, without('sub'), victim.privateKey, alg),
    'no aud': forge(header, without('aud'), victim.privateKey, alg),
    'no exp': forge(header, without('exp'), victim.privateKey, alg),
    'no jti': forge(header, without('jti'), victim.privateKey, alg),
    'no claims': forge(header, {}, victim.privateKey, alg),
    "another client's iss": signed({ iss: other.clientId }),
    "another client's sub": signed({ sub: other.clientId }),
    "another client's both": signed({ iss: other.clientId, sub: other.clientId }),
    'iss in other case': signed({ iss: victim.clientId.toUpperCase() }),
    'iss padded': signed({ iss: `${victim.clientId} ` }),
    'sub padded': signed({ sub: ` ${victim.clientId}` }),
    'sub a list': signed({ sub: [victim.clientId] }),
    'sub with @clients': signed({ sub: `${victim.clientId}@clients` }),
    'sub null': signed({ sub: null }),
    'aud of another issuer': signed({ aud: 'https://elsewhere.example.com/' }),
    'aud with a slash more or less': signed({ aud: audience.endsWith('/') ? audience.slice(0, -1) : `${audience}/` }),
    'aud longer': signed({ aud: `${audience}.evil.example` }),
    'aud in other case': signed({ aud: audience.toUpperCase() }),
    'aud an API': signed({ aud: 'https://orders.example.com' }),
    'aud the jwks': signed({ aud: `${audience}.well-known/jwks.json` }),
    'aud ours and another': signed({ aud: [audience, 'https://elsewhere.example.com/'] }),
    'aud an empty list': signed({ aud: [] }),
    'aud a list in a list': signed({ aud: [[audience]] }),
    'aud a number': signed({ aud: 7 }),
    'aud an object': signed({ aud: { [audience]: true } }),
    'expired a minute ago': signed({ iat: now - 120, exp: now - 60 }),
    'expired a year ago': signed({ iat: now - 31_536_060, exp: now - 31_536_000 }),
    'good for six minutes': signed({ exp: now + 361 }),
    'good for a day': signed({ exp: now + 86_400 }),
    'good for ever': signed({ exp: Number.MAX_SAFE_INTEGER }),
    'good beyond numbers': forge(header, JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e999'), victim.privateKey, alg),
    'exp as text': signed({ exp: String(now + 60) }),
    'exp null': signed({ exp: null }),
    'exp a list': signed({ exp: [now + 60] }),
    'exp negative': signed({ exp: -1 }),
    'not before two minutes from now': signed({ nbf: now + 120, exp: now + 200 }),
    'nbf as text': signed({ nbf: 'now' }),
    'issued two minutes from now': signed({ iat: now + 120, exp: now + 200 }),
    'iat as text': signed({ iat: 'now' }),
    'jti empty': signed({ jti: '' }),
    'jti a number': signed({ jti: 7 }),
    'jti a list': signed({ jti: ['a'] }),
    'jti null': signed({ jti: null }),
    'jti too long': signed({ jti: 'a'.repeat(256) }),
    // Forms.
    'no signature': `${h}.${p}.`,
    'two parts': `${h}.${p}`,
    'one part': h,
    'four parts': `${good}.${s}`,
    'five parts': `${h}.${s}.${s}.${p}.${s}`,
    'only dots': '..',
    'a signature cut short': good.slice(0, -6),
    'a signature made longer': `${good}AAAA`,
    'a signature of zeros': `${h}.${p}.${'A'.repeat(s.length)}`,
    'the psychic signature': `${part({ ...header, alg: 'ES256' })}.${p}.${Buffer.alloc(64).toString('base64url')}`,
    'a signature in base64': `${h}.${p}.${Buffer.from(s, 'base64url').toString('base64')}=`,
    'claims exchanged after signing': `${h}.${part(claims({ jti: 'other' }))}.${s}`,
    'a header exchanged after signing': `${part({ ...header, x: 1 })}.${p}.${s}`,
    'a space in front': ` ${good}`,
    'a line feed behind': `${good}\n`,
    'Bearer in front': `Bearer ${good}`,
    'an object around it': JSON.stringify({ payload: p, signatures: [{ protected: h, signature: s }] }),
    'claims that are a list': forge(header, '[]', victim.privateKey, alg),
    'claims that are text': forge(header, '"x"', victim.privateKey, alg),
    'claims that are null': forge(header, 'null', victim.privateKey, alg),
    'claims that are not JSON': forge(header, '{"iss":', victim.privateKey, alg),
    'a header that is not JSON': `${part('{')}.${p}.${s}`,
    'a header that is null': `${part('null')}.${p}.${s}`,
    'a header that is a list': `${part('[]')}.${p}.${s}`,
    'a huge header': forge({ ...header, x: 'a'.repeat(9000) }, claims(), victim.privateKey, alg),
    'huge claims': signed({ x: 'a'.repeat(9000) }),
    'deep claims': forge(
      header,
      `${JSON.stringify(claims()).slice(0, -1)},"iss":${'['.repeat(900)}${']'.repeat(900)}}`,
      victim.privateKey,
      alg,
    ),
    'a second sub, of another': forge(
      header,
      `${JSON.stringify(claims()).slice(0, -1)},"sub":"${other.clientId}"}`,
      victim.privateKey,
      alg,
    ),
    'a second iss, of another': forge(
      header,
      `${JSON.stringify(claims()).slice(0, -1)},"iss":"${other.clientId}"}`,
      victim.privateKey,
      alg,
    ),
    'a client_id that is a path': signed({ iss: '..', sub: '..' }),
    'a client_id with a dot in front': signed({ iss: '.hidden', sub: '.hidden' }),
    'a client_id with a tilde': signed({ iss: '~root', sub: '~root' }),
    'an unknown client': by(stranger.privateKey, 'ES256', {}, claims({ iss: randomUUID(), sub: randomUUID() })),
    'an unknown client, consistent': unknownClient(stranger.privateKey, audience),
  };
  return Object.entries(faults).map(([fault, jwt]) => ({ fault, jwt }));
}

const STRANGER_RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const STRANGER_ED = generateKeyPairSync('ed25519');

function forgeEd(header: Record<string, unknown>, claims: Claims): string {
  const input = `${part({ ...header, alg: 'EdDSA' })}.${part(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), STRANGER_ED.privateKey).toString('base64url')}`;
}

function unknownClient(key: KeyObject, audience: string): string {
  const clientId = randomUUID();
  return forge({ alg: 'ES256' }, goodClaims({ clientId, privateKey: key, publicKey: key }, audience), key);
}
