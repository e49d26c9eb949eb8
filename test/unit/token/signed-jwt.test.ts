import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { errors, importJWK, jwtVerify } from 'jose';
import { beforeAll, expect, test } from 'vitest';
import { verifySignedJwt } from '#broker/token/signed-jwt.ts';
import { claimsOf, signer } from './signer.ts';
import type { Signer } from './signer.ts';

const ISSUER = 'https://tokens.example.com/';
const NOW = 1_800_000_000;
const CLAIMS = { issuer: ISSUER, currentDate: new Date(NOW * 1000) };

let key: Signer;
let publicKey: KeyObject;
beforeAll(async () => {
  key = await signer();
  publicKey = createPublicKey({ key: key.jwk, format: 'jwk' });
});

const segment = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const verified = (jwt: string, by: KeyObject = publicKey) => verifySignedJwt(jwt, () => by, CLAIMS);
const codeOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => 'verified',
    (error: unknown) => (error instanceof errors.JOSEError ? error.code : error),
  );

test('says what jose says, of good tokens and of bad ones', async () => {
  const joses = await importJWK(key.jwk, 'RS256');
  const good = await key.sign(claimsOf(ISSUER, NOW));
  const [header, payload, signature] = good.split('.') as [string, string, string];
  const tokens = [
    good,
    await key.sign(claimsOf(ISSUER, NOW), { typ: 'at+jwt' }),
    await key.sign(claimsOf('https://evil.example.com/', NOW)),
    await key.sign(claimsOf(ISSUER, NOW, { iss: undefined })),
    await key.sign(claimsOf(ISSUER, NOW - 3_600)),
    await key.sign(claimsOf(ISSUER, NOW, { nbf: NOW + 1 })),
    await key.sign(claimsOf(ISSUER, NOW, { exp: 'soon' })),
    await (await signer()).sign(claimsOf(ISSUER, NOW)),
    `${header}.${segment(claimsOf(ISSUER, NOW, { scope: 'all' }))}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}.${signature.slice(4)}`,
    `${header}.${payload}`,
    `${good}.${signature}`,
    `.${payload}.${signature}`,
    `${segment('not JSON')}.${payload}.${signature}`,
    `${segment([])}.${payload}.${signature}`,
    ...['none', 'HS256', 'PS256', 'RS512', 'rs256', undefined, ['RS256']].map((alg) => `${segment({ alg })}.${payload}.${signature}`),
    '',
    '..',
  ];
  for (const token of tokens) {
    const ours = await codeOf(verified(token));
    const theirs = await codeOf(jwtVerify(token, joses, { ...CLAIMS, algorithms: ['RS256'] }));
    expect(ours, token).toBe(theirs);
  }
  expect(await verified(good)).toEqual({
    payload: claimsOf(ISSUER, NOW),
    protectedHeader: { alg: 'RS256', typ: 'JWT', kid: key.kid },
  });
});

/** Signed rightly, whatever it says. */
function signed(header: unknown, payload: string, by: KeyObject): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), by).toString('base64url')}`;
}

test('what is rightly signed and no claims set, or asks for what nobody understands, is none', async () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const of = (header: unknown, payload: string) => codeOf(verified(signed(header, payload, pair.privateKey), pair.publicKey));
  const claims = JSON.stringify(claimsOf(ISSUER, NOW));
  expect(await of({ alg: 'RS256' }, claims)).toBe('verified');
  expect(await of({ alg: 'RS256', crit: ['exp'], exp: 1 }, claims)).toBe('ERR_JOSE_NOT_SUPPORTED');
  expect(await of({ alg: 'RS256', crit: [] }, claims)).toBe('ERR_JOSE_NOT_SUPPORTED');
  for (const payload of ['[]', '"text"', 'null', '', '{']) expect(await of({ alg: 'RS256' }, payload), payload).toBe('ERR_JWT_INVALID');
});

test('a key that is too short, or not RSA, verifies nothing', async () => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const jwt = signed({ alg: 'RS256' }, JSON.stringify(claimsOf(ISSUER, NOW)), short.privateKey);
  expect(await codeOf(verified(jwt, short.publicKey))).toBe('ERR_JWS_SIGNATURE_VERIFICATION_FAILED');
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const other = signed({ alg: 'RS256' }, JSON.stringify(claimsOf(ISSUER, NOW)), curve.privateKey);
  expect(await codeOf(verified(other, curve.publicKey))).toBe('ERR_JWS_SIGNATURE_VERIFICATION_FAILED');
});

test('what finding the key ends with is told as it is', async () => {
  const away = new Error('away');
  await expect(verifySignedJwt(await key.sign(claimsOf(ISSUER, NOW)), () => Promise.reject(away), CLAIMS)).rejects.toBe(away);
});
