import { describe, expect, test } from 'vitest';
import { issuerFault, judge, trustFault } from '#broker/credential/trust.ts';
import type { Trust } from '#broker/credential/trust.ts';
import { TrustedToken, judgeHeader } from '#broker/credential/trusted-token.ts';

const NOW = 1_790_000_000;
const trust: Trust = {
  name: 'ci',
  tenant: 'acme',
  clientId: 'acme-id',
  issuer: 'https://issuer.example.com',
  audience: 'https://tokens.example.com/',
  subject: 'repo:acme/app',
  subjectPattern: undefined,
  claims: { owner: '65', '/a.b/c~1d': 'x' },
  scopes: undefined,
  jwksUrl: undefined,
  keys: undefined,
  caPem: undefined,
};
const claims = { iss: trust.issuer, aud: [trust.audience], sub: 'repo:acme/app', exp: NOW + 60, owner: '65', 'a.b': { 'c/d': 'x' } };
const faultsOf = (more: Record<string, unknown>): string[] =>
  judge(trust, { ...claims, ...more }, NOW * 1000)
    .filter(({ good }) => !good)
    .map(({ of }) => of);

describe('claims', () => {
  test('all good', () => expect(faultsOf({})).toEqual([]));
  test.each([
    ['iss', { iss: `${trust.issuer}/` }],
    ['aud', { aud: [trust.audience, 'x'] }],
    ['aud', { aud: [] }],
    ['sub', { sub: 'repo:acme/app2' }],
    ['owner', { owner: 65 }],
    ['/a.b/c~1d', { 'a.b': ['x'] }],
    ['exp', { exp: NOW - 31 }],
    ['exp', { exp: NOW + 90_000 }],
    ['nbf', { nbf: NOW + 31 }],
    ['iat', { iat: NOW + 31 }],
  ])('%s by %j', (of, more) => expect(faultsOf(more)).toEqual([of]));
  test('no claim of the prototype is one of the token', () => {
    expect(judge({ ...trust, claims: { toString: 'x' } }, claims, NOW * 1000).some(({ of, good }) => of === 'toString' && !good)).toBe(
      true,
    );
  });
});

test.each([
  'http://issuer.example.com',
  'https://Issuer.example.com',
  'https://issuer.example.com:443',
  'https://a@issuer.example.com',
  'https://a:b@issuer.example.com/x',
  'https://issuer.example.com/../x',
  'https://issuer.example.com?x',
  'https://issuer.example.com/#',
  'https://issuer.example.com/%61',
  'https://іssuer.example.com',
  'https://0x7f.1',
  'issuer.example.com',
  '',
])('%s is no issuer of a trust', (issuer) => expect(issuerFault(issuer)).toBeTypeOf('string'));

test.each(['https://issuer.example.com', 'https://issuer.example.com/', 'https://issuer.example.com:8443/id/7', 'https://127.0.0.1:9/'])(
  '%s is one',
  (issuer) => expect(issuerFault(issuer)).toBeUndefined(),
);

test.each([
  [{ subjectPattern: 'repo:acme/*' }],
  [{ subject: undefined }],
  [{ subject: 'repo:*' }],
  [{ audience: '*' }],
  [{ claims: { sub: 'x' } }],
  [{ claims: { owner: '6*' } }],
  [{ scopes: [] }],
  [{ jwksUrl: 'http://x.example.com' }],
])('a trust with %j is none', (more) => expect(trustFault({ ...trust, ...more })).toBeTypeOf('string'));

describe('the form of a token', () => {
  const encode = (text: string): string => Buffer.from(text).toString('base64url');
  const of = (head: string, body: string): TrustedToken | undefined =>
    TrustedToken.of(`${encode(head)}.${encode(body)}.c2ln`, { clientId: undefined, once: true });
  test('is read once it can be read in one way only', () => {
    expect(of('{"alg":"RS256"}', '{"a":"x:\\"y:","b":{"c":[{"d":1},{"d":2}]}}')?.claims).toEqual({
      a: 'x:"y:',
      b: { c: [{ d: 1 }, { d: 2 }] },
    });
    for (const body of ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"b":{"a":1,"a":1}}', '[]', '1', '{', '\ufeff{}'])
      expect(of('{"alg":"RS256"}', body), body).toBeUndefined();
    expect(of('{"alg":"RS256","alg":"none"}', '{}')).toBeUndefined();
  });
  test('prints as nothing', () => expect(`${of('{}', '{}')}${JSON.stringify(of('{}', '{}'))}`).not.toContain('c2ln'));
  test('has a header without tricks', () => {
    const bad = (header: Record<string, unknown>): boolean => judgeHeader(header).some(({ good }) => !good);
    expect(bad({ alg: 'ES256', kid: 'x', typ: 'JWT', x5t: 'y' })).toBe(false);
    for (const header of [
      { alg: 'none' },
      { alg: 'HS256' },
      {},
      { alg: 'RS256', jku: 'x' },
      { alg: 'RS256', crit: [] },
      { alg: 'RS256', typ: 'at+jwt' },
    ])
      expect(bad(header), JSON.stringify(header)).toBe(true);
  });
});
