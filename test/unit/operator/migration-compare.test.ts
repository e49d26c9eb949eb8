import { describe, expect, test } from 'vitest';
import { compareTokens } from '#broker/operator/migration/compare.ts';
import type { Token } from '#broker/operator/migration/compare.ts';

const token = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Token => ({
  header: { alg: 'RS256', typ: 'JWT', kid: Math.random().toString(), ...header },
  claims: {
    iss: 'https://acme.eu.auth0.com/',
    sub: 'old@clients',
    aud: 'https://orders.example.com',
    azp: 'old',
    gty: 'client-credentials',
    scope: 'read:orders write:orders',
    iat: 1_000,
    exp: 87_400,
    ...claims,
  },
});
const weightOf = (before: Token, after: Token, claim: string) =>
  compareTokens(before, after).find((one) => one.claim === claim)?.weight ?? 'not compared';

test('the same token: nothing differs, whatever is new in each', () => {
  const differences = compareTokens(token({ jti: 'a' }), token({ jti: 'b', iat: 2_000, exp: 88_400 }));
  expect(differences.filter(({ weight }) => weight !== 'same')).toEqual([]);
  expect(differences.map(({ claim }) => claim)).not.toContain('jti');
});

describe('what services see', () => {
  test.each([
    ['another issuer', {}, { iss: 'https://login.example.com/' }, 'iss', 'noticed'],
    ['the issuer without its slash', {}, { iss: 'https://acme.eu.auth0.com' }, 'iss', 'noticed'],
    ['another audience', {}, { aud: 'https://orders.example.com/' }, 'aud', 'noticed'],
    ['the audience as a list', {}, { aud: ['https://orders.example.com'] }, 'aud', 'same'],
    ['one audience more', {}, { aud: ['https://orders.example.com', 'https://other.example.com'] }, 'aud', 'more'],
    ['a scope less', {}, { scope: 'read:orders' }, 'scope', 'noticed'],
    ['a scope more', {}, { scope: 'read:orders write:orders delete:orders' }, 'scope', 'noticed'],
    ['scopes in another order', {}, { scope: 'write:orders read:orders' }, 'scope', 'same'],
    ['no scope at all', {}, { scope: undefined }, 'scope', 'noticed'],
    ['permissions that are gone', { permissions: ['read:orders'] }, {}, 'permissions', 'noticed'],
    ['permissions in another order', { permissions: ['a', 'b'] }, { permissions: ['b', 'a'] }, 'permissions', 'same'],
    ['another organization', { org_id: 'org_a' }, { org_id: 'org_b' }, 'org_id', 'noticed'],
    ['an organization that is gone', { org_id: 'org_a' }, {}, 'org_id', 'noticed'],
    ['an organization that is new', {}, { org_id: 'org_a' }, 'org_id', 'noticed'],
    ['a namespaced claim that is gone', { 'https://x.example/plan': 'gold' }, {}, 'https://x.example/plan', 'noticed'],
    [
      'a namespaced claim with another value',
      { 'https://x.example/plan': 'gold' },
      { 'https://x.example/plan': 'tin' },
      'https://x.example/plan',
      'noticed',
    ],
    ['a namespaced claim of another type', { 'https://x.example/n': 1 }, { 'https://x.example/n': '1' }, 'https://x.example/n', 'noticed'],
    ['a namespaced list', { 'https://x.example/l': ['a'] }, { 'https://x.example/l': ['a'] }, 'https://x.example/l', 'same'],
    ['a claim that is new', {}, { 'https://x.example/plan': 'gold' }, 'https://x.example/plan', 'more'],
    ["the tenant's claim", {}, { 'https://postern.dev/tenant': 'acme' }, 'https://postern.dev/tenant', 'more'],
    ['the caller', {}, { azp: 'new', sub: 'new@clients' }, 'azp', 'changes'],
    ['another dialect', { client_id: undefined }, { azp: undefined, client_id: 'new', gty: undefined }, 'gty', 'noticed'],
    ['a shorter life', {}, { exp: 4_600 }, 'lifetime', 'more'],
  ] as const)('%s', (_, before, after, claim, weight) => expect(weightOf(token(before), token(after), claim)).toBe(weight));

  test.each([
    ['another type', { typ: 'at+jwt' }, 'typ', 'noticed'],
    ['the type in other letters', { typ: 'jwt' }, 'typ', 'same'],
    ['another algorithm', { alg: 'PS256' }, 'alg', 'noticed'],
  ] as const)('%s in the header', (_, header, claim, weight) => expect(weightOf(token(), token({}, header), claim)).toBe(weight));

  test('what they notice stands first', () => {
    const differences = compareTokens(token(), token({ iss: 'https://login.example.com/', azp: 'new' }));
    expect(differences.slice(0, 2).map(({ weight }) => weight)).toEqual(['noticed', 'changes']);
  });
});
