import { describe, expect, test } from 'vitest';
import { accessTokenClaims, signingInput } from '#broker/token/claims.ts';
import { apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';

const NOW = 1_800_000_000_999;
const IAT = 1_800_000_000;
const TENANT = 'https://postern.dev/tenant';

async function claimsOf(api: Record<string, unknown> = {}, tenant: Record<string, unknown> = {}) {
  return accessTokenClaims(await grantOf({ apis: [apiOf('orders', api)], tenant: tenantOf(tenant) }), 'kid-1', TENANT, NOW);
}

const common = {
  [TENANT]: 'acme',
  iss: 'https://tokens.example.com/',
  sub: 'acme-role-id@clients',
  aud: 'https://orders.example.com',
  iat: IAT,
  exp: IAT + 86_400,
  scope: 'read:all write:all',
};

describe('exactly the claims that Auth0 sets', () => {
  test('access_token', async () => {
    expect(await claimsOf()).toEqual({
      header: { alg: 'RS256', typ: 'JWT', kid: 'kid-1' },
      payload: { ...common, azp: 'acme-role-id', gty: 'client-credentials' },
    });
  });

  test('access_token_authz', async () => {
    expect((await claimsOf({ dialect: 'access_token_authz' })).payload).toEqual({
      ...common,
      azp: 'acme-role-id',
      gty: 'client-credentials',
      permissions: ['read:all', 'write:all'],
    });
  });

  test('rfc9068_profile', async () => {
    const { header, payload } = await claimsOf({ dialect: 'rfc9068_profile' });
    expect(header).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: 'kid-1' });
    expect(payload).toEqual({ ...common, client_id: 'acme-role-id', jti: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(payload['jti']).not.toBe((await claimsOf({ dialect: 'rfc9068_profile' })).payload['jti']);
  });

  test('rfc9068_profile_authz', async () => {
    expect((await claimsOf({ dialect: 'rfc9068_profile_authz' })).payload).toMatchObject({
      client_id: 'acme-role-id',
      permissions: ['read:all', 'write:all'],
    });
  });

  test('scope left out where there is none, org_id where there is one', async () => {
    const { payload } = await claimsOf({ scopes: [] }, { organization: 'org_acme' });
    expect(payload).not.toHaveProperty('scope');
    expect(payload).toMatchObject({ org_id: 'org_acme' });
  });

  test('the lifetime of the API', async () => {
    expect((await claimsOf({ lifetime: 600 })).payload).toMatchObject({ iat: IAT, exp: IAT + 600 });
  });
});

test("a tenant's claims are there, and can take the place of none: not even the one that names the tenant", async () => {
  const { payload } = await claimsOf({}, { claims: { 'https://e.com/plan': 'gold', [TENANT]: 'globex' } });
  expect(payload).toMatchObject({ 'https://e.com/plan': 'gold', [TENANT]: 'acme' });
});

test('even a document that slipped by its check can forge no claim of the issuer', async () => {
  const forged = {
    iss: 'x',
    sub: 'x',
    aud: 'x',
    iat: 1,
    exp: 9e9,
    scope: 'admin',
    org_id: 'x',
    azp: 'x',
    gty: 'x',
    permissions: ['admin'],
    [TENANT]: 'globex',
  };
  const grant = await grantOf({
    apis: [apiOf('orders', { dialect: 'access_token_authz' })],
    tenant: { ...tenantOf({ organization: 'org_acme' }), claims: forged },
  });
  const { payload } = accessTokenClaims(grant, 'kid', TENANT, NOW);
  expect(payload).toEqual({
    ...common,
    org_id: 'org_acme',
    azp: 'acme-role-id',
    gty: 'client-credentials',
    permissions: ['read:all', 'write:all'],
  });
});

test('what is signed is base64url of both parts', async () => {
  const claims = await claimsOf({}, { claims: { 'https://e.com/name': 'Zoë?>~' } });
  const [header, payload, ...rest] = signingInput(claims).split('.');
  expect(rest).toEqual([]);
  expect(`${header}${payload}`).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(JSON.parse(Buffer.from(payload ?? '', 'base64url').toString())).toEqual(claims.payload);
});
