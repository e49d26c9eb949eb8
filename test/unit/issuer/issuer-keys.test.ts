import { generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import type { KeySource } from '#broker/credential/trust.ts';
import { TrustedToken } from '#broker/credential/trusted-token.ts';
import { FetchFault, fetchJson } from '#broker/issuer/fetch.ts';
import { FetchedKeys } from '#broker/issuer/issuer-keys.ts';

const ISSUER = 'https://issuer.example.com/id';
const source: KeySource = { issuer: ISSUER, jwksUrl: undefined, keys: undefined, caPem: undefined };
const pairs = [1, 2].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const jwk = (at: number, more: object = {}): object => ({ ...pairs[at]!.publicKey.export({ format: 'jwk' }), kid: `k${at}`, ...more });

async function tokenBy(at: number, header: object = { kid: `k${at}` }): Promise<TrustedToken> {
  const jwt = await new SignJWT({ x: 1 }).setProtectedHeader({ alg: 'ES256', ...header }).sign(pairs[at]!.privateKey);
  return TrustedToken.of(jwt, { clientId: undefined, once: false })!;
}

function issuer(documents: Record<string, unknown>) {
  let now = 1_000_000;
  const asked: string[] = [];
  const keys = new FetchedKeys({
    monotonic: () => now,
    fetchJson: (address) => {
      asked.push(address);
      const found = documents[address];
      return found === undefined ? Promise.reject(new FetchFault('away')) : Promise.resolve(found);
    },
  });
  return { keys, asked, pass: (ms: number) => (now += ms) };
}

const DISCOVERY = `${ISSUER}/.well-known/openid-configuration`;
const JWKS = 'https://issuer.example.com/keys';

test('by discovery, once for many tokens; a new kid has them read again, at most every 30 s', async () => {
  const documents: Record<string, unknown> = { [DISCOVERY]: { issuer: ISSUER, jwks_uri: JWKS }, [JWKS]: { keys: [jwk(0)] } };
  const { keys, asked, pass } = issuer(documents);
  expect(await keys.verify(source, await tokenBy(0))).toBe(true);
  for (let count = 0; count < 50; count++) expect(await keys.verify(source, await tokenBy(1))).toBe(false);
  expect(asked).toEqual([DISCOVERY, JWKS]);
  documents[JWKS] = { keys: [jwk(0), jwk(1, { use: 'jwt-svid' })] };
  pass(31_000);
  expect(await keys.verify(source, await tokenBy(1))).toBe(true);
  expect(asked).toHaveLength(4);
  // A key that was taken out goes within ten minutes.
  documents[JWKS] = { keys: [jwk(1)] };
  pass(600_000);
  expect(await keys.verify(source, await tokenBy(0))).toBe(false);
});

test('an issuer that is away: an hour on what is known, then 503, asked every 30 s', async () => {
  const documents: Record<string, unknown> = { [DISCOVERY]: { issuer: ISSUER, jwks_uri: JWKS }, [JWKS]: { keys: [jwk(0)] } };
  const { keys, asked, pass } = issuer(documents);
  expect(await keys.verify(source, await tokenBy(0))).toBe(true);
  delete documents[DISCOVERY];
  pass(3_000_000);
  expect(await keys.verify(source, await tokenBy(0))).toBe(true);
  pass(700_000);
  for (let count = 0; count < 20; count++)
    await expect(keys.verify(source, await tokenBy(0))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  expect(asked).toHaveLength(4);
});

test.each<[string, Record<string, unknown>]>([
  ['another issuer', { [DISCOVERY]: { issuer: `${ISSUER}/`, jwks_uri: JWKS }, [JWKS]: { keys: [jwk(0)] } }],
  ['no address of keys', { [DISCOVERY]: { issuer: ISSUER } }],
  ['a set of other things', { [DISCOVERY]: { issuer: ISSUER, jwks_uri: JWKS }, [JWKS]: { keys: 'x' } }],
])('a discovery document with %s counts as none', async (_what, documents) => {
  await expect(issuer(documents).keys.verify(source, await tokenBy(0))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
});

test('keys that the trust holds itself: nothing is fetched; a shared secret in a set is no key', async () => {
  const pem = pairs[0]!.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const { keys, asked } = issuer({ [JWKS]: { keys: [{ kty: 'oct', k: 'c2VjcmV0', kid: 'k0' }] } });
  expect(await keys.verify({ ...source, keys: [pem] }, await tokenBy(0))).toBe(true);
  expect(await keys.verify({ ...source, keys: [pem] }, await tokenBy(1))).toBe(false);
  expect(asked).toEqual([]);
  expect(await keys.verify({ ...source, jwksUrl: JWKS }, await tokenBy(0))).toBe(false);
});

test('what doctor counts: keys that could verify a token', async () => {
  const documents: Record<string, unknown> = {
    [DISCOVERY]: { issuer: ISSUER, jwks_uri: JWKS },
    [JWKS]: { keys: [jwk(0), { kty: 'oct', k: 'eA' }] },
  };
  const { keys } = issuer(documents);
  expect(await keys.count(source)).toBe(1);
  documents[JWKS] = { keys: [] };
  expect(await keys.count(source)).toBe(0);
  delete documents[DISCOVERY];
  await expect(keys.count(source)).rejects.toMatchObject({ code: 'temporarily_unavailable', message: expect.stringContaining('away') });
  expect(await keys.count({ ...source, keys: ['no key'] })).toBe(0);
});

test.each([
  'http://169.254.169.254/latest/meta-data/',
  'https://169.254.169.254/keys',
  'https://127.0.0.1:9/keys',
  'https://[::ffff:7f00:1]:9/keys',
  'https://2130706433:9/keys',
  'https://localhost:9/keys',
  'file:///etc/passwd',
  'https://a:b@issuer.example.com/keys',
])('keys that the discovery document says lie at %s are not fetched', async (jwksUri) => {
  const document = { issuer: ISSUER, jwks_uri: jwksUri };
  const keys = new FetchedKeys({ fetchJson: async (address, options) => (address === DISCOVERY ? document : fetchJson(address, options)) });
  await expect(keys.count(source)).rejects.toThrow(/not https|not public|has a user name/);
});

test('without a kid every key of the set is tried', async () => {
  const { keys } = issuer({ [JWKS]: { keys: [jwk(0), jwk(1)] } });
  expect(await keys.verify({ ...source, jwksUrl: JWKS }, await tokenBy(1, {}))).toBe(true);
});
