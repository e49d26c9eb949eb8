import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Token } from '#broker/token/token.ts';

const JWT = 'eyJhbGciOiJSUzI1NiJ9.canary.signature';

test('a token never prints: only its SHA-256 does', () => {
  const token = new Token(JWT, 'read:all', 1000, 2000);
  const sha256 = createHash('sha256').update(JWT).digest('hex');
  for (const text of [JSON.stringify({ token }), String(token), inspect({ token }, { depth: 9 })]) {
    expect(text).not.toContain('canary');
    expect(text).toContain(sha256);
  }
  expect(token.sha256).toBe(sha256);
  expect(token.reveal()).toBe(JWT);
});

describe('what a client reads', () => {
  test.each(['read:all', 'a b c', ''])('is whole JSON with scope %j', (scope) => {
    const reply = JSON.parse(new Token(JWT, scope, 1000, 2000).reply(42)) as unknown;
    expect(reply).toEqual({ access_token: JWT, token_type: 'Bearer', expires_in: 42, ...(scope === '' ? {} : { scope }) });
  });

  test.each(['"', '\\', 'ä', '\u0000'])('is whole JSON where a token holds %j, which no JWT does', (strange) => {
    const token = new Token(`a${strange}b`, 'a b', 1000, 2000);
    for (let twice = 0; twice < 2; twice++)
      expect(JSON.parse(token.reply(42))).toEqual({ access_token: `a${strange}b`, token_type: 'Bearer', expires_in: 42, scope: 'a b' });
  });

  test('has what a grant adds to it', () => {
    const reply = JSON.parse(new Token(JWT, '', 1000, 2000).reply(42, ',"issued_token_type":"x"')) as unknown;
    expect(reply).toEqual({ access_token: JWT, token_type: 'Bearer', expires_in: 42, issued_token_type: 'x' });
  });

  test('the remaining life is rounded down, never up', () => {
    const token = new Token(JWT, '', 1000, 2000);
    expect(token.remaining(1_000_000)).toBe(1000);
    expect(token.remaining(1_000_001)).toBe(999);
    expect(token.remaining(1_999_999)).toBe(0);
    expect(token.remaining(2_000_001)).toBe(-1);
  });
});

test('names its issuer and the key that signed it, and nothing where it is no such JWT', () => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signedBy = (token: string) => new Token(token, '', 1000, 2000).signedBy;
  expect(signedBy(`${part({ kid: 'k1' })}.${part({ iss: 'https://a/' })}.x`)).toBe('https://a/ k1');
  for (const token of [JWT, '', 'opaque', `${part(null)}.${part(null)}.x`, `${part({ kid: 1 })}.${part({ iss: 'a' })}.`])
    expect(signedBy(token)).toBe('');
});

test('refresh begins between 75 % and 85 % of life, not for all at once', () => {
  expect(new Token(JWT, '', 1000, 2000, 0).refreshAt).toBe(1_750_000);
  expect(new Token(JWT, '', 1000, 2000, 1).refreshAt).toBe(1_850_000);
  const times = new Set(Array.from({ length: 100 }, () => new Token(JWT, '', 1000, 2000).refreshAt));
  expect(times.size).toBeGreaterThan(50);
  for (const at of times) expect(at).toSatisfy((ms: number) => ms >= 1_750_000 && ms <= 1_850_000);
});
