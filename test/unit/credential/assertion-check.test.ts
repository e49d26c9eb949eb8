import { generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';

import { describe, expect, test } from 'vitest';
import { ClientAssertion } from '#broker/credential/assertion.ts';
import { BadAssertion, checkAssertion } from '#broker/credential/assertion-check.ts';

const ISSUER = 'https://tokens.example.com/';
const NOW = 1_800_000_000;
const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys = [{ kid: 'one', key: own.publicKey }];
const good = { iss: 'acme-id', sub: 'acme-id', aud: ISSUER, iat: NOW, exp: NOW + 60, jti: 'a' };

async function checked(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, by = own, registered = keys) {
  const jwt = await new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg: 'ES256', ...header }).sign(by.privateKey);
  return checkAssertion(ClientAssertion.of(jwt) ?? expect.unreachable(), registered, [ISSUER, `${ISSUER}oauth/token`], NOW * 1000);
}

describe('an assertion is taken', () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['without kid', {}],
    ['with the kid of its key', {}, { kid: 'one' }],
    ['for the token endpoint', { aud: `${ISSUER}oauth/token` }],
    ['for both', { aud: [ISSUER, `${ISSUER}oauth/token`] }],
    ['of a clock that is ahead by less than the tolerance', { iat: NOW + 29 }],
    ['typ JWT', {}, { typ: 'JWT' }],
  ])('%s', async (_what, claims, header) => {
    expect(await checked(claims, header)).toMatchObject({ jti: 'a' });
  });
});

describe('an assertion is refused', () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['that brings its key along', {}, { jwk: own.publicKey.export({ format: 'jwk' }) }],
    ['that says where its key is', {}, { jku: 'https://example.com/keys' }],
    ['that says where its certificate is', {}, { x5u: 'https://example.com/cert' }],
    ['that brings its certificate along', {}, { x5c: ['x'] }],
    ['with the kid of another key', {}, { kid: 'two' }],
    ['with a kid that is not text', {}, { kid: 1 }],
    ['of another type than an assertion', {}, { typ: 'at+jwt' }],
    ['that ends in an hour', { exp: NOW + 3600 }],
    ['that has ended', { exp: NOW - 31 }],
    ['without an end', { exp: undefined }],
    ['made in the future', { iat: NOW + 31 }],
    ['for somebody else', { aud: 'https://elsewhere.example.com/' }],
    ['for somebody else too', { aud: [ISSUER, 'https://elsewhere.example.com/'] }],
    ['for nobody', { aud: undefined }],
    ['without a name', { jti: undefined }],
    ['with an empty name', { jti: '' }],
    ['with a name of 256 characters', { jti: 'x'.repeat(256) }],
    ['of another issuer', { iss: 'https://elsewhere.example.com/' }],
  ])('%s', async (_what, claims, header) => {
    await expect(checked(claims, header)).rejects.toBeInstanceOf(BadAssertion);
  });

  test('made by a key that is not registered', async () => {
    await expect(checked({}, {}, other)).rejects.toBeInstanceOf(BadAssertion);
  });

  test('where no key is registered', async () => {
    await expect(checked({}, {}, own, [])).rejects.toBeInstanceOf(BadAssertion);
  });
});
