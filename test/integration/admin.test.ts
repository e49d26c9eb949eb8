import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { SignJWT, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import type { Permission } from '#broker/admin/caller.ts';
import { OPERATIONS } from '#broker/admin/admin-server.ts';
import { ApiKey } from '#broker/credential/api-key.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import type { AdminCredential, AdminReply } from '#test/fixture/admin.ts';
import { ADMIN_AUDIENCE, exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { AUDIENCE, GITHUB, githubToken, issuerKey } from './trust.forgeries.ts';

/*
 * The admin API on a real Vault: every operation by an Auth0 JWT and by a Vault token, allowed and denied, and what nobody may.
 */

let house: House;
let replica: LocalReplica;
let operator: { vault: string };
let auditor: { vault: string };
let backEnd: { jwt: string };

beforeAll(async () => {
  const issuers = { [GITHUB]: { keys: [issuerKey.publicKey.export({ type: 'spki', format: 'pem' }).toString()] } };
  const written = { issuer: GITHUB, audience: 'https://tokens.example.com/terraform', subject: 'repo:acme/app:ref:refs/heads/main' };
  const acme = { ...TENANTS.acme, issuers, trusts: { written } };
  house = await startHouse({ admin: true, tenants: { ...TENANTS, acme } });
  replica = await house.startReplica();
  operator = { vault: await vaultToken(house, 'postern-operator') };
  auditor = { vault: await vaultToken(house, 'postern-auditor') };
  backEnd = { jwt: await backEndToken(house, Object.keys(PERMISSIONS)) };
}, 120_000);

afterAll(() => house?.stop());

const call = (
  credential: AdminCredential,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<AdminReply> => callAdmin(replica.admin, credential, method, path, body, headers);

function expectProblem(reply: AdminReply, status: number, slug: string): void {
  expect({ status: reply.status, type: reply.body['type'] }, reply.text).toEqual({ status, type: `https://postern.dev/problems/${slug}` });
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(reply.headers['cache-control']).toBe('no-store');
  expect(reply.body).toMatchObject({
    status,
    title: expect.any(String),
    detail: expect.any(String),
    instance: expect.stringMatching(/^urn:uuid:/),
  });
}

let names = 0;
/** A tenant with a key, for one test. */
async function aTenant(): Promise<{ tenant: string; keyId: string; key: string }> {
  const tenant = `t${(names += 1)}-${Date.now().toString(36)}`;
  const made = await call(operator, 'POST', '/v1/tenants', {
    tenant,
    grants: [{ api: 'reports', scopes: ['read:reports'] }],
    default_api: 'reports',
  });
  expect(made.status, made.text).toBe(201);
  expect(made.headers['location']).toBe(`/v1/tenants/${tenant}`);
  const issued = await call(operator, 'POST', `/v1/tenants/${tenant}/keys`, { name: 'first' });
  expect(issued.status, issued.text).toBe(201);
  return { tenant, keyId: issued.body['key_id'], key: issued.body['key'] };
}

const TRUST = { issuer: GITHUB, audience: AUDIENCE, subject_pattern: 'repo:acme/app:ref:refs/heads/*' };
/** The address of a trust of acme's, whose issuer Terraform named; written where the request needs one. */
async function aTrust(write: boolean): Promise<string> {
  const path = `/v1/tenants/acme/trusts/t${(names += 1)}`;
  // Each for an audience of its own: two that fit one token would be good for nobody.
  const written = write ? await call(operator, 'PUT', path, { ...TRUST, audience: `${AUDIENCE}${names}` }) : undefined;
  if (written !== undefined) expect(written.status, written.text).toBe(200);
  return path;
}

/** A request of each operation that is good as it stands. */
async function goodRequest(id: string): Promise<{ method: string; path: string; body?: unknown; status: number }> {
  const { tenant, keyId } = await aTenant();
  const at = `/v1/tenants/${tenant}`;
  switch (id) {
    case 'listTenants':
      return { method: 'GET', path: '/v1/tenants', status: 200 };
    case 'createTenant':
      return { method: 'POST', path: '/v1/tenants', body: { tenant: `${tenant}-2` }, status: 201 };
    case 'showTenant':
      return { method: 'GET', path: at, status: 200 };
    case 'disableTenant':
      return { method: 'POST', path: `${at}/disable`, status: 200 };
    case 'enableTenant':
      return { method: 'POST', path: `${at}/enable`, status: 200 };
    case 'setLimits':
      return { method: 'PUT', path: `${at}/limits`, body: { per_second: 100, burst: 20 }, status: 200 };
    case 'setTenantQuota':
      return { method: 'PUT', path: `${at}/quota`, body: { monthly: 5000 }, status: 200 };
    case 'readGrants':
      return { method: 'GET', path: `${at}/grants`, status: 200 };
    case 'setGrants':
      return { method: 'PUT', path: `${at}/grants`, body: { grants: [] }, status: 200 };
    case 'listApis':
      return { method: 'GET', path: '/v1/apis', status: 200 };
    case 'listKeys':
      return { method: 'GET', path: `${at}/keys`, status: 200 };
    case 'issueKey':
      return { method: 'POST', path: `${at}/keys`, body: {}, status: 201 };
    case 'showKey':
      return { method: 'GET', path: `${at}/keys/${keyId}`, status: 200 };
    case 'revokeKey':
      return { method: 'DELETE', path: `${at}/keys/${keyId}`, status: 204 };
    case 'rotateKey':
      return { method: 'POST', path: `${at}/keys/${keyId}/rotate`, body: { overlap: 3600 }, status: 201 };
    case 'listTrusts':
      return { method: 'GET', path: '/v1/tenants/acme/trusts', status: 200 };
    case 'showTrust':
      return { method: 'GET', path: await aTrust(true), status: 200 };
    case 'setTrust':
      return { method: 'PUT', path: await aTrust(false), body: { ...TRUST, audience: `${AUDIENCE}good${names}` }, status: 200 };
    case 'removeTrust':
      return { method: 'DELETE', path: await aTrust(true), status: 204 };
    case 'showQuota':
      return { method: 'GET', path: '/v1/quota?limit=5', status: 200 };
    case 'listChanges':
      return { method: 'GET', path: `/v1/changes?tenant=${tenant}`, status: 200 };
    default:
      throw new Error(`no request for ${id}`);
  }
}

describe.each(OPERATIONS.map((one) => [one.id, one] as const))('%s', (id, { need }) => {
  test('is done with its permission, by JWT and by Vault token', async () => {
    for (const credential of [{ jwt: await backEndToken(house, [need.permission]) }, need.changes ? operator : auditor]) {
      const { method, path, body, status } = await goodRequest(id);
      const reply = await call(credential, method, path, body);
      expect(reply.status, reply.text).toBe(status);
      expect(reply.headers['cache-control']).toBe('no-store');
    }
  });

  test('is refused without', async () => {
    const { method, path, body } = await goodRequest(id);
    const nobody = await call(undefined, method, path, body);
    expectProblem(nobody, 401, 'invalid-token');
    expect(nobody.headers['www-authenticate']).toBe('Bearer realm="postern-admin"');

    const others = Object.keys(PERMISSIONS).filter((one) => one !== need.permission) as Permission[];
    const lacking = await call({ jwt: await backEndToken(house, others) }, method, path, body);
    expectProblem(lacking, 403, 'insufficient-scope');
    expect(lacking.headers['www-authenticate']).toMatch(
      new RegExp(`^Bearer realm="postern-admin", error="insufficient_scope", .*scope="${need.permission}"$`),
    );

    // The last three name a namespace that is not there, to which Vault says 500.
    for (const vault of ['hvs.not-a-token', 'hvb.AAAA', '..', 'hvr.AAAA', 'hvs.x.y', 'root.ns'])
      expectProblem(await call({ vault }, method, path, body), 401, 'invalid-token');
    if (need.changes) expectProblem(await call(auditor, method, path, body), 403, 'access-denied');
    expectProblem(await call({ vault: await vaultToken(house, 'default') }, method, path, body), 403, 'access-denied');
  });
});

test('what was changed is told, the newest first and with who did it; a search finds tenants by a part of their id', async () => {
  const { tenant, keyId } = await aTenant();
  expect((await call(operator, 'POST', `/v1/tenants/${tenant}/keys/none/rotate`, {})).status).toBe(400);
  expect((await call(operator, 'DELETE', `/v1/tenants/${tenant}/keys/${keyId}`)).status).toBe(204);
  const { body } = await call(auditor, 'GET', `/v1/changes?tenant=${tenant}`);
  expect(body['changes']).toMatchObject([
    { event: 'admin.revokeKey', outcome: 'done', tenant, key_id: keyId, error: null },
    { event: 'admin.rotateKey', outcome: 'refused', tenant, error: 'malformed-request' },
    { event: 'admin.issueKey', outcome: 'done', tenant, key_id: keyId },
    { event: 'admin.createTenant', outcome: 'done', tenant },
  ]);
  expect(Date.parse(body['since'])).toBeLessThan(Date.now());

  const found = await call(auditor, 'GET', `/v1/tenants?search=${tenant.slice(1)}`);
  expect(found.body['tenants'].map((one: { tenant: string }) => one.tenant)).toEqual([tenant]);
  expect((await call(auditor, 'GET', '/v1/tenants?search=nobody-is-called-so')).body).toEqual({ tenants: [], next_cursor: null });
  expectProblem(await call(auditor, 'GET', '/v1/tenants?search=%2e%2e%2f'), 400, 'malformed-request');
  // Its pages go on with the same search.
  const first = await call(auditor, 'GET', '/v1/tenants?search=e&limit=1');
  expect(first.headers['link']).toMatch(/^<\/v1\/tenants\?search=e&limit=1&cursor=[A-Za-z0-9_-]+>; rel="next"$/);
});

describe('JWTs that are not for this API', () => {
  const refused = async (jwt: string, why: RegExp): Promise<void> => {
    registerSecret('access token', jwt);
    for (const [method, path, body] of [
      ['GET', '/v1/tenants'],
      ['POST', '/v1/tenants/acme/keys', {}],
    ] as const) {
      const reply = await call({ jwt }, method, path, body);
      expectProblem(reply, 401, 'invalid-token');
      expect(reply.body['detail']).toMatch(why);
      expect(reply.headers['www-authenticate']).toMatch(/^Bearer realm="postern-admin", error="invalid_token"/);
    }
  };
  const all = Object.keys(PERMISSIONS);

  test('of another audience', async () => {
    await refused(await backEndToken(house, all, {}, 'https://elsewhere.example.com'), /another audience/);
    await refused(await backEndToken(house, all, { aud: [ADMIN_AUDIENCE, 'https://elsewhere.example.com'] }), /further audiences/);
  });
  test('of another issuer', async () =>
    refused(await backEndToken(house, all, { iss: 'https://elsewhere.example.com/' }), /another issuer/));
  test('that have ended', async () => refused(await backEndToken(house, all, { exp: Math.floor(Date.now() / 1000) - 10 }), /has ended/));
  test('that are not good yet', async () =>
    refused(await backEndToken(house, all, { nbf: Math.floor(Date.now() / 1000) + 600 }), /not good yet/));
  test('without a subject', async () => refused(await backEndToken(house, all, { sub: undefined }), /subject/));

  test('signed by another key or in another way', async () => {
    const claims = { permissions: all, sub: 'mallory@clients' };
    const now = Math.floor(Date.now() / 1000);
    const sign = (alg: string, key: Parameters<SignJWT['sign']>[0], kid?: string): Promise<string> =>
      new SignJWT(claims)
        .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
        .setIssuer(house.auth0.issuer)
        .setAudience(ADMIN_AUDIENCE)
        .setIssuedAt(now)
        .setExpirationTime(now + 600)
        .sign(key);
    const good = await backEndToken(house, all);
    const [header = '', payload = '', signature = ''] = good.split('.');
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
    for (const alg of ['RS256', 'PS256', 'ES256'] as const)
      await refused(await sign(alg, (await generateKeyPair(alg)).privateKey, kid), /not signed|no signed JWT/);
    await refused(await sign('HS256', Buffer.from('x'.repeat(32)), kid), /not signed with RS256/);
    await refused(
      `${Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url')}.${payload}.${signature}`,
      /not signed|no signed JWT/,
    );
    const more = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), sub: 'mallory' })).toString(
      'base64url',
    );
    await refused(`${header}.${more}.${signature}`, /not signed/);
  });

  test('which Vault refuses too, whatever the broker may think of them', async () => {
    const login = async (jwt: string, role: string): Promise<string> =>
      house.root.write('auth/postern-admin/login', { jwt, role }).then(
        ({ auth }) => String(auth?.['token_policies']),
        () => 'refused',
      );
    expect(await login(await backEndToken(house, ['manage:keys']), 'write')).toBe('postern-operator');
    expect(await login(await backEndToken(house, ['read:keys']), 'read')).toBe('postern-auditor');
    expect(await login(await backEndToken(house, ['read:keys', 'read:tenants']), 'write')).toBe('refused');
    expect(await login(await backEndToken(house, ['other:thing']), 'read')).toBe('refused');
    expect(await login(await backEndToken(house, all, {}, 'https://elsewhere.example.com'), 'write')).toBe('refused');
    expect(await login(await backEndToken(house, all, { iss: 'https://elsewhere.example.com/' }), 'write')).toBe('refused');
    expect(await login(await backEndToken(house, all, { exp: Math.floor(Date.now() / 1000) - 3600 }), 'write')).toBe('refused');
  });
});

describe('credentials', () => {
  test('one at a time', async () => {
    expectProblem(await call(operator, 'GET', '/v1/tenants', undefined, { Authorization: `Bearer ${backEnd.jwt}` }), 401, 'invalid-token');
  });

  test.each(['Basic YTpi', 'Bearer', 'Bearer a.b', 'Bearer a.b.c', 'bearer x y'])(
    'Authorization: %s is malformed',
    async (Authorization) => {
      expectProblem(await call(undefined, 'GET', '/v1/tenants', undefined, { Authorization }), 401, 'invalid-token');
    },
  );

  test("a tenant's own Vault token opens nothing here", async () => {
    const { client_id: role_id, client_secret: secret_id } = await house.issueSecret('acme');
    const { auth } = await house.root.write('auth/approle/login', { role_id, secret_id });
    const vault = String(auth?.['client_token']);
    registerSecret('Vault token', vault);
    for (const [method, path, body] of [
      ['GET', '/v1/tenants/acme'],
      ['GET', '/v1/tenants/globex'],
      ['POST', '/v1/tenants/globex/keys', {}],
    ] as const) {
      // It may look at itself, and no further.
      expectProblem(await call({ vault }, method, path, body), 403, 'access-denied');
    }
  });

  test("a token of the broker's own opens nothing here", async () => {
    expectProblem(
      await call({ vault: await vaultToken(house, 'postern-broker') }, 'POST', '/v1/tenants/acme/keys', {}),
      403,
      'access-denied',
    );
  });

  test('a token that is revoked while the broker knows it is refused by Vault at once', async () => {
    const vault = await vaultToken(house, 'postern-auditor');
    expect((await call({ vault }, 'GET', '/v1/tenants')).status).toBe(200);
    await house.root.write('auth/token/revoke', { token: vault });
    expectProblem(await call({ vault }, 'GET', '/v1/tenants'), 401, 'invalid-token');
  });
});

describe('the life of a key', () => {
  test('issued, listed, rotated with overlap, revoked: it opens /oauth/token as long as it says', async () => {
    const { tenant, keyId, key } = await aTenant();
    const works = async (text: string): Promise<number> => {
      const { credential } = ApiKey.parse(text)!;
      registerSecret('secret_id', credential.reveal());
      return (
        await exchange(
          replica,
          { client_id: credential.clientId, client_secret: credential.reveal() },
          { audience: 'https://reports.example.com' },
        )
      ).status;
    };
    expect(await works(key)).toBe(200);
    const rotated = await call(backEnd, 'POST', `/v1/tenants/${tenant}/keys/${keyId}/rotate`, { overlap: 3600 });
    expect(rotated.status, rotated.text).toBe(201);
    expect(rotated.body).toMatchObject({ tenant, name: 'first', replaces: keyId, replaces_until: expect.any(String) });
    expect(rotated.headers['location']).toBe(`/v1/tenants/${tenant}/keys/${rotated.body['key_id']}`);
    expect(await works(key)).toBe(200);
    expect(await works(rotated.body['key'])).toBe(200);
    expectProblem(await call(backEnd, 'POST', `/v1/tenants/${tenant}/keys/${keyId}/rotate`, { overlap: 0 }), 409, 'conflict');

    const listed = await call(auditor, 'GET', `/v1/tenants/${tenant}/keys`);
    expect(listed.body['keys']).toMatchObject([
      { key_id: keyId, state: 'ending', replaced_by: rotated.body['key_id'] },
      { key_id: rotated.body['key_id'], state: 'active', replaces: keyId },
    ]);
    expect(listed.text).not.toContain(key);
    expect(listed.text).not.toContain(rotated.body['key']);

    expect((await call(backEnd, 'DELETE', `/v1/tenants/${tenant}/keys/${keyId}`)).status).toBe(204);
    expectProblem(await call(backEnd, 'DELETE', `/v1/tenants/${tenant}/keys/${keyId}`), 404, 'not-found');
    expectProblem(await call(backEnd, 'GET', `/v1/tenants/${tenant}/keys/${keyId}`), 404, 'not-found');
    await expect.poll(() => works(key)).toBe(401);
    expect(await works(rotated.body['key'])).toBe(200);
  });

  test('narrowed and bounded, and never wider than its tenant', async () => {
    const { tenant } = await aTenant();
    const at = `/v1/tenants/${tenant}/keys`;
    const narrow = await call(backEnd, 'POST', at, {
      name: 'ünïcode ✓',
      ttl: 3600,
      cidrs: ['10.0.0.0/8', '2001:db8::/32'],
      scopes: ['read:reports'],
      environment: 'test',
    });
    expect(narrow.status, narrow.text).toBe(201);
    expect(narrow.body).toMatchObject({
      name: 'ünïcode ✓',
      scopes: ['read:reports'],
      cidrs: ['10.0.0.0/8', '2001:db8::/32'],
      environment: 'test',
      key: expect.stringMatching(/^postern_test_/),
    });
    expectProblem(await call(backEnd, 'POST', at, { scopes: ['drop:reports'] }), 422, 'unprocessable');
  });

  test("a neighbour's key is not there under another tenant", async () => {
    const [one, two] = [await aTenant(), await aTenant()];
    for (const [method, suffix, body] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/rotate', { overlap: 0 }],
    ] as const) {
      expectProblem(await call(backEnd, method, `/v1/tenants/${one.tenant}/keys/${two.keyId}${suffix}`, body), 404, 'not-found');
    }
    expect((await call(backEnd, 'GET', `/v1/tenants/${two.tenant}/keys/${two.keyId}`)).body).toMatchObject({ state: 'active' });
  });
});

describe('tenants and grants', () => {
  test('what is granted holds at once, and only what exists can be', async () => {
    const { tenant, key } = await aTenant();
    const { credential } = ApiKey.parse(key)!;
    const ask = async (): Promise<unknown> =>
      (
        await exchange(
          replica,
          { client_id: credential.clientId, client_secret: credential.reveal() },
          { audience: 'https://reports.example.com' },
        )
      ).status;
    expect(await ask()).toBe(200);
    const set = await call(backEnd, 'PUT', `/v1/tenants/${tenant}/grants`, {
      grants: [{ api: 'orders', scopes: ['read:orders'] }],
      default_api: 'orders',
    });
    expect(set.body, set.text).toEqual({
      tenant,
      grants: [{ api: 'orders', scopes: ['read:orders'] }],
      default_api: 'orders',
      introspects: [],
      publish: [],
    });
    expect((await call(backEnd, 'GET', `/v1/tenants/${tenant}/grants`)).body).toEqual(set.body);
    await expect.poll(ask).toBe(403);
    for (const grants of [
      [{ api: 'nothing', scopes: [] }],
      [{ api: 'orders', scopes: ['no:scope'] }],
      [
        { api: 'orders', scopes: [] },
        { api: 'orders', scopes: [] },
      ],
    ]) {
      expectProblem(await call(backEnd, 'PUT', `/v1/tenants/${tenant}/grants`, { grants }), 422, 'unprocessable');
    }
    expectProblem(await call(backEnd, 'PUT', `/v1/tenants/${tenant}/grants`, { grants: [], default_api: 'orders' }), 422, 'unprocessable');
    expectProblem(await call(backEnd, 'PUT', '/v1/tenants/nobody-here/grants', { grants: [] }), 404, 'not-found');
    expectProblem(await call(backEnd, 'GET', '/v1/tenants/nobody-here'), 404, 'not-found');
  });

  test('whoever may make tenants, and not set grants, makes none with grants', async () => {
    const maker = { jwt: await backEndToken(house, ['manage:tenants', 'manage:keys', 'read:tenants']) };
    const both = { jwt: await backEndToken(house, ['manage:tenants', 'manage:grants']) };
    const gifts = { grants: { grants: [{ api: 'reports', scopes: ['read:reports'] }] }, introspects: { introspects: ['reports'] } };
    for (const [tenant, gift] of Object.entries(gifts)) {
      const refused = await call(maker, 'POST', '/v1/tenants', { tenant: `made-${tenant}`, ...gift });
      expectProblem(refused, 403, 'insufficient-scope');
      expect(refused.headers['www-authenticate']).toContain('scope="manage:grants"');
      expectProblem(await call(maker, 'GET', `/v1/tenants/made-${tenant}`), 404, 'not-found');
      expect((await call(both, 'POST', '/v1/tenants', { tenant: `made-${tenant}`, ...gift })).status).toBe(201);
    }
    expect((await call(maker, 'POST', '/v1/tenants', { tenant: 'made-bare' })).status).toBe(201);
  });

  test('half a character is refused before Vault would', async () => {
    for (const claim of ['"\\ud800"', '["\\udc00"]'])
      expectProblem(
        await call(backEnd, 'POST', '/v1/tenants', `{"tenant":"half","claims":{"https://example.com/x":${claim}}}`),
        400,
        'malformed-request',
      );
    expectProblem(await call(backEnd, 'POST', '/v1/tenants/acme/keys', '{"name":"\\ud800"}'), 400, 'malformed-request');
  });

  test('made once; disabled and enabled', async () => {
    const { tenant } = await aTenant();
    expectProblem(await call(backEnd, 'POST', '/v1/tenants', { tenant }), 409, 'conflict');
    expectProblem(await call(backEnd, 'POST', '/v1/tenants', { tenant: 'operator' }), 422, 'unprocessable');
    expect((await call(backEnd, 'POST', `/v1/tenants/${tenant}/disable`)).body).toMatchObject({ state: 'disabled' });
    expect((await call(backEnd, 'POST', `/v1/tenants/${tenant}/enable`)).body).toMatchObject({ state: 'active' });
  });
});

describe('the life of a trust', () => {
  const bear = async (): Promise<{ status: number; scope: unknown }> => {
    const assertion = githubToken();
    const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion, audience: APIS.orders.audience };
    const answer = await fetch(`${replica.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(grant) });
    const body = (await answer.json()) as Record<string, unknown>;
    if (typeof body['access_token'] === 'string') registerSecret('access token', body['access_token']);
    return { status: answer.status, scope: body['scope'] };
  };

  test('written, repeated, narrowed and removed: it opens /oauth/token as long as it says, and the audit names it', async () => {
    const path = '/v1/tenants/acme/trusts/life';
    expect((await bear()).status).toBe(400);
    const written = await call(backEnd, 'PUT', path, TRUST);
    expect(written.status, written.text).toBe(200);
    expect(written.body).toMatchObject({
      ...TRUST,
      tenant: 'acme',
      name: 'life',
      subject: null,
      scopes: null,
      managed_by: null,
      problem: null,
    });
    await until(async () => (await bear()).status === 200, 2_000);
    expect((await call(backEnd, 'PUT', path, TRUST)).body).toEqual(written.body);
    expect((await call(auditor, 'GET', path)).body).toEqual(written.body);
    expect((await call(backEnd, 'PUT', path, { ...TRUST, scopes: ['read:orders'] })).status).toBe(200);
    await until(async () => (await bear()).scope === 'read:orders', 2_000);
    // Of another repository, at Vault too; that of before is not found any more.
    expect((await call(backEnd, 'PUT', path, { ...TRUST, audience: `${AUDIENCE}moved` })).status).toBe(200);
    await until(async () => (await bear()).status === 400, 2_000);
    expect((await call(backEnd, 'PUT', path, TRUST)).status).toBe(200);
    await until(async () => (await bear()).status === 200, 2_000);
    expect((await call(backEnd, 'DELETE', path)).status).toBe(204);
    await until(async () => (await bear()).status === 400, 2_000);
    expectProblem(await call(backEnd, 'DELETE', path), 404, 'not-found');
    expectProblem(await call(backEnd, 'GET', path), 404, 'not-found');
    const { changes } = (await call(auditor, 'GET', '/v1/changes?tenant=acme')).body;
    expect(changes.slice(0, 2)).toMatchObject([
      { event: 'admin.removeTrust', outcome: 'refused', trust: 'life', error: 'not-found' },
      { event: 'admin.removeTrust', outcome: 'done', trust: 'life', tenant: 'acme' },
    ]);
  });

  test('ten of one name at once: one of them holds, as all say afterwards', async () => {
    const path = '/v1/tenants/acme/trusts/race';
    const audiences = Array.from({ length: 10 }, (_, at) => `${AUDIENCE}race${at}`);
    const answers = await Promise.all(audiences.map((audience) => call(backEnd, 'PUT', path, { ...TRUST, audience })));
    expect([...new Set(answers.map(({ status }) => status))].every((status) => status === 200 || status === 409)).toBe(true);
    const { body } = await call(backEnd, 'GET', path);
    expect(audiences).toContain(body['audience']);
    expect((await call(backEnd, 'DELETE', path)).status).toBe(204);
  });

  test('what Terraform wrote is told, is not replaced, and its issuers are the only ones', async () => {
    const path = '/v1/tenants/acme/trusts/written';
    expect((await call(auditor, 'GET', path)).body).toMatchObject({ managed_by: 'terraform', keys: 'pinned' });
    expectProblem(await call(backEnd, 'PUT', path, TRUST), 409, 'conflict');
    const other = '/v1/tenants/acme/trusts/other';
    expectProblem(await call(backEnd, 'PUT', other, { ...TRUST, issuer: 'https://gitlab.com' }), 409, 'conflict');
    expectProblem(await call(backEnd, 'PUT', '/v1/tenants/globex/trusts/other', TRUST), 409, 'conflict');
    expectProblem(await call(backEnd, 'PUT', '/v1/tenants/nobody/trusts/other', TRUST), 404, 'not-found');
    expectProblem(await call(auditor, 'GET', other), 404, 'not-found');
  });

  test.each<[string, Record<string, unknown>, number]>([
    ['no subject', { subject_pattern: undefined }, 422],
    ['both subjects', { subject: 'repo:acme/app:x' }, 422],
    ['a pattern that takes every owner', { subject_pattern: 'repo:**' }, 422],
    ['a pattern within a segment', { subject_pattern: 'repo:acme/app*:ref:refs/heads/main' }, 422],
    ['an issuer of another spelling', { issuer: `${GITHUB}:443/` }, 422],
    ['an issuer without TLS', { issuer: 'http://token.actions.githubusercontent.com' }, 422],
    ['an issuer with a user name', { issuer: 'https://a@token.actions.githubusercontent.com' }, 422],
    ['a scope that it lacks', { scopes: ['write:everything'] }, 422],
    ['a claim with a place of its own', { claims: { aud: 'x' } }, 422],
    ['a * among the claims', { claims: { repository: '*' } }, 400],
    ['no scope at all', { scopes: [] }, 400],
    ['another alphabet', { audience: 'https://tοkens.example.com/' }, 400],
    ['no issuer', { issuer: undefined }, 400],
    ['a field too many', { keys: ['x'] }, 400],
    ['a block that is none', { cidrs: ['10.0.0.0/99'] }, 400],
  ])('%s is refused', async (_, more, status) => {
    const reply = await call(backEnd, 'PUT', '/v1/tenants/acme/trusts/bad', { ...TRUST, ...more });
    expectProblem(reply, status, status === 422 ? 'unprocessable' : 'malformed-request');
    expectProblem(await call(backEnd, 'GET', '/v1/tenants/acme/trusts/bad'), 404, 'not-found');
  });
});

describe('pages', () => {
  test('every tenant once, in order, while one comes between', async () => {
    for (let made = 0; made < 3; made += 1) await aTenant();
    const whole = ((await call(backEnd, 'GET', '/v1/tenants?limit=100')).body['tenants'] as { tenant: string }[]).map(
      ({ tenant }) => tenant,
    );
    expect(whole).toEqual([...whole].sort());
    const seen: string[] = [];
    let path: string | undefined = '/v1/tenants?limit=2';
    while (path !== undefined) {
      const { body, headers, status } = await call(backEnd, 'GET', path);
      expect(status).toBe(200);
      seen.push(...(body['tenants'] as { tenant: string }[]).map(({ tenant }) => tenant));
      path = /^<([^>]+)>; rel="next"$/.exec(headers['link'] ?? '')?.[1];
      expect(path === undefined).toBe(body['next_cursor'] === null);
      if (path !== undefined) expect(path).toBe(`/v1/tenants?limit=2&cursor=${body['next_cursor']}`);
    }
    expect(seen).toEqual(whole);
  });

  test('keys and APIs', async () => {
    const { tenant, keyId } = await aTenant();
    const more = [keyId];
    for (let issued = 0; issued < 3; issued += 1) more.push((await call(backEnd, 'POST', `/v1/tenants/${tenant}/keys`, {})).body['key_id']);
    const first = await call(backEnd, 'GET', `/v1/tenants/${tenant}/keys?limit=3`);
    const second = await call(backEnd, 'GET', `/v1/tenants/${tenant}/keys?limit=3&cursor=${first.body['next_cursor']}`);
    expect(second.body['next_cursor']).toBeNull();
    const ids = [...first.body['keys'], ...second.body['keys']].map((key: { key_id: string }) => key.key_id);
    expect(ids.sort()).toEqual(more.sort());
    const apis = await call(backEnd, 'GET', '/v1/apis?limit=1');
    expect(apis.body).toMatchObject({ apis: [{ api: 'orders', audience: 'https://orders.example.com' }], next_cursor: expect.any(String) });
  });

  test.each(['limit=0', 'limit=101', 'limit=01', 'limit=x', 'limit=1&limit=2', 'cursor=', 'cursor=a%20b', 'page=2'])(
    '?%s is refused',
    async (query) => {
      expectProblem(await call(backEnd, 'GET', `/v1/tenants?${query}`), 400, 'malformed-request');
    },
  );
});

describe('what is malformed', () => {
  test.each<[string, string, string, unknown, number, string, Record<string, string>?]>([
    ['an unknown address', 'GET', '/v1/nothing', undefined, 404, 'not-found'],
    ['another method', 'PATCH', '/v1/tenants/acme', undefined, 405, 'method-not-allowed'],
    ['another method on a document', 'POST', '/openapi.json', {}, 405, 'method-not-allowed'],
    ['TRACE', 'TRACE', '/v1/tenants', undefined, 405, 'method-not-allowed'],
    ['OPTIONS', 'OPTIONS', '/v1/tenants', undefined, 405, 'method-not-allowed'],
    ['QUERY', 'QUERY', '/v1/tenants', undefined, 405, 'method-not-allowed'],
    ['a bad escape', 'GET', '/v1/tenants/%zz', undefined, 400, 'malformed-request'],
    ['a slash in a name', 'GET', '/v1/tenants/acme%2f..%2fglobex', undefined, 400, 'malformed-request'],
    ['dots', 'GET', '/v1/tenants/..', undefined, 400, 'malformed-request'],
    ['a name that is too long', 'GET', `/v1/tenants/${'a'.repeat(200)}`, undefined, 414, 'uri-too-long'],
    ['a body that is not JSON', 'POST', '/v1/tenants', '{', 400, 'malformed-request'],
    ['an empty body', 'POST', '/v1/tenants', '', 400, 'malformed-request'],
    ['no body', 'POST', '/v1/tenants', undefined, 400, 'malformed-request'],
    ['a list', 'POST', '/v1/tenants', [], 400, 'malformed-request'],
    ['null', 'POST', '/v1/tenants', 'null', 400, 'malformed-request'],
    ['__proto__', 'POST', '/v1/tenants', '{"__proto__":{"tenant":"x"}}', 400, 'malformed-request'],
    ['an unknown field', 'POST', '/v1/tenants', { tenant: 'acme', root: true }, 400, 'malformed-request'],
    ['another type', 'POST', '/v1/tenants', { tenant: 7 }, 400, 'malformed-request'],
    [
      'a form',
      'POST',
      '/v1/tenants',
      'tenant=acme',
      415,
      'unsupported-media-type',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
    ],
    ['plain text', 'POST', '/v1/tenants', '{}', 415, 'unsupported-media-type', { 'Content-Type': 'text/plain' }],
    ['a body that is too large', 'POST', '/v1/tenants', JSON.stringify({ tenant: 'x'.repeat(300_000) }), 413, 'payload-too-large'],
    ['a weak Idempotency-Key', 'POST', '/v1/tenants/acme/keys', {}, 400, 'malformed-request', { 'Idempotency-Key': 'short' }],
  ])('%s', async (_, method, path, body, status, slug, headers) => {
    const reply = await call(backEnd, method, path, body, headers);
    expectProblem(reply, status, slug);
    expect('allow' in reply.headers).toBe(status === 405);
    expect(reply.headers['x-powered-by']).toBeUndefined();
  });

  test('every fault is told at once, at its place, and no value is repeated', async () => {
    const reply = await call(backEnd, 'POST', '/v1/tenants/ACME/keys?x=1', {
      ttl: 5,
      cidrs: ['10.0.0.0/99'],
      'canary-name': 1,
      name: 'canary\nvalue',
    });
    expectProblem(reply, 400, 'malformed-request');
    expect(reply.body['errors']).toEqual(
      expect.arrayContaining([
        { in: 'path', at: 'tenant', detail: expect.any(String) },
        { in: 'query', at: 'x', detail: 'is not known here' },
        { in: 'body', at: '/ttl', detail: expect.any(String) },
        { in: 'body', at: '/cidrs/0', detail: expect.any(String) },
        { in: 'body', at: '/name', detail: expect.any(String) },
      ]),
    );
    expect(reply.text).not.toContain('value');
  });
});

test('HEAD answers without a body', async () => {
  const reply = await call(backEnd, 'HEAD', '/v1/tenants/acme');
  expect({ status: reply.status, text: reply.text }).toEqual({ status: 200, text: '' });
});

test('each change is in the audit, with who, what, tenant and accessor, and without a secret', async () => {
  const { tenant, keyId, key } = await aTenant();
  await call(backEnd, 'DELETE', `/v1/tenants/${tenant}/keys/${keyId}`);
  await call(auditor, 'POST', `/v1/tenants/${tenant}/disable`);
  const lines = (await replica.events()).filter((line) => line['tenant'] === tenant && String(line['event']).startsWith('admin.'));
  expect(lines).toMatchObject([
    { event: 'admin.createTenant', outcome: 'done', by: 'vault_token', caller: 'token-test-postern-operator' },
    { event: 'admin.issueKey', outcome: 'done', key_id: keyId, accessor: expect.any(String) },
    { event: 'admin.revokeKey', outcome: 'done', by: 'jwt', caller: expect.stringMatching(/^backend-.*@clients$/), key_id: keyId },
    { event: 'admin.disableTenant', outcome: 'refused', error: 'access-denied' },
  ]);
  expect(JSON.stringify(lines)).not.toContain(key);
  expect(JSON.stringify(lines)).not.toContain(ApiKey.parse(key)!.credential.reveal());
});

test('the commands of docs/admin-api.md, in their order', async () => {
  const text = await readFile(new URL('../../docs/admin-api.md', import.meta.url), 'utf8');
  const commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, command = '']) => command);
  expect(commands.length).toBeGreaterThan(7);
  const cwd = await mkdtemp(join(tmpdir(), 'postern-admin-docs-'));
  let keyId = '';
  try {
    for (const [at, command] of commands.entries()) {
      const { stdout, exitCode } = await execa('bash', ['-euo', 'pipefail', '-c', command], {
        cwd,
        env: {
          PATH: process.env['PATH'] ?? '',
          ADMIN: replica.admin.slice(0, -1),
          TOKEN: backEnd.jwt,
          KEY_ID: keyId,
          REQUEST_ID: `docs-request-number-${at}`,
        },
        extendEnv: false,
        reject: false,
      });
      const answer = (stdout === '' ? {} : JSON.parse(stdout)) as { key?: string; key_id?: string; detail?: string };
      if (answer.key !== undefined) registerSecret('API key', answer.key);
      expect(exitCode, `${command}${answer.detail}`).toBe(0);
      // What the reader would take over by hand.
      keyId ||= answer.key_id ?? '';
    }
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
});
