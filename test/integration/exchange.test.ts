import { decodeJwt } from 'jose';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { longestLife } from '#broker/operator/tenant/revoke-tokens.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

const ORDERS = { audience: 'https://orders.example.com' };
const REPORTS = { audience: 'https://reports.example.com' };
const PAYROLL = { audience: 'https://payroll.example.com' };

let house: House;
let replica: LocalReplica;
let acme: Credential;
let globex: Credential;

beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplica();
  acme = await house.issueSecret('acme');
  globex = await house.issueSecret('globex');
});
afterAll(() => house.stop());

/** As the tenant itself: the token that Vault gives to its credential. */
async function vaultTokenOf({ client_id, client_secret }: Credential): Promise<string> {
  const client = new VaultClient({ address: house.vault.address });
  const { auth } = await client.write('auth/approle/login', { role_id: client_id, secret_id: client_secret });
  await client.close();
  const token = auth?.['client_token'] as string;
  registerSecret('tenant vault token', token);
  return token;
}

describe('the main job', () => {
  test('a token by each source, for the audience and scopes that were granted, bound to the tenant', async () => {
    const byAuth0 = await exchange(replica, acme, ORDERS);
    expect(byAuth0.status).toBe(200);
    expect(byAuth0.body).toMatchObject({ token_type: 'Bearer', scope: 'read:orders write:orders' });
    expect(decodeJwt(String(byAuth0.body['access_token']))).toMatchObject({
      iss: house.auth0.issuer,
      aud: ORDERS.audience,
      'https://postern.dev/tenant': 'acme',
    });

    const byTransit = await exchange(replica, acme, REPORTS);
    expect(byTransit.status).toBe(200);
    expect(decodeJwt(String(byTransit.body['access_token']))).toMatchObject({
      iss: replica.issuer,
      aud: REPORTS.audience,
      sub: `${acme.client_id}@clients`,
      azp: acme.client_id,
      gty: 'client-credentials',
      scope: 'read:reports',
      'https://postern.dev/tenant': 'acme',
      'https://postern.dev/plan': 'gold',
    });
  });

  test('JSON, and client_secret_basic, are as good as the form', async () => {
    const json = await fetch(`${replica.issuer}oauth/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ grant_type: 'client_credentials', client_id: acme.client_id, client_secret: acme.client_secret, ...REPORTS }),
    });
    expect(json.status).toBe(200);
    const basic = await exchange(replica, {}, REPORTS, {
      headers: { authorization: `Basic ${Buffer.from(`${acme.client_id}:${acme.client_secret}`).toString('base64')}` },
    });
    expect(basic.status).toBe(200);
    expect(basic.body['access_token']).toBe(((await json.json()) as Record<string, unknown>)['access_token']);
  });

  test('a hit in memory calls neither Vault nor Auth0, and expires_in tells the life that is left', async () => {
    const first = await exchange(replica, acme, ORDERS);
    // The broker looks at the epoch each second: count only within one second, or take another one.
    let calls = { vault: -1, auth0: -1 };
    for (let attempt = 0; attempt < 5 && (calls.vault !== 0 || calls.auth0 !== 0); attempt++) {
      const before = replica.calls();
      for (let i = 0; i < 20; i++) expect((await exchange(replica, acme, ORDERS)).body['access_token']).toBe(first.body['access_token']);
      calls = { vault: replica.calls().vault - before.vault, auth0: replica.calls().auth0 - before.auth0 };
    }
    expect(calls).toEqual({ vault: 0, auth0: 0 });
    const reply = await exchange(replica, acme, ORDERS);
    const { exp = 0 } = decodeJwt(String(reply.body['access_token']));
    expect(Math.abs(Number(reply.body['expires_in']) - (exp - Date.now() / 1000))).toBeLessThan(2);
    expect((await replica.events()).at(-1)).toMatchObject({ outcome: 'granted', tenant: 'acme', api: 'orders', source: 'memory' });
  });

  test('a scope may be narrower, and is then another token', async () => {
    const narrow = await exchange(replica, acme, { ...ORDERS, scope: 'read:orders' });
    expect(narrow.body).toMatchObject({ scope: 'read:orders' });
    const twice = await exchange(replica, acme, { ...ORDERS, scope: 'write:orders  read:orders write:orders' });
    expect(twice.body['access_token']).toBe((await exchange(replica, acme, ORDERS)).body['access_token']);
  });

  test.each([
    ['an API without a grant', () => acme, PAYROLL, 403, 'access_denied'],
    ['an unknown API', () => acme, { audience: 'https://nowhere.example.com' }, 403, 'access_denied'],
    ['no audience and no default', () => acme, {}, 403, 'access_denied'],
    ['a scope that the neighbour has', () => globex, { ...ORDERS, scope: 'write:orders' }, 400, 'invalid_scope'],
    ['another organization', () => acme, { ...ORDERS, organization: 'org_other' }, 403, 'access_denied'],
  ] as const)('%s is refused without a call to Auth0', async (_name, who, parameters, status, error) => {
    const before = replica.calls().auth0;
    const reply = await exchange(replica, who(), parameters);
    expect(reply.status).toBe(status);
    expect(reply.body['error']).toBe(error);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(replica.calls().auth0).toBe(before);
  });

  test('an unknown client, a wrong secret and a malformed one are answered with the same bytes', async () => {
    const wrong = await exchange(replica, { ...acme, client_secret: globex.client_secret }, ORDERS);
    const unknown = await exchange(
      replica,
      { client_id: '00000000-0000-4000-8000-000000000000', client_secret: globex.client_secret },
      ORDERS,
    );
    const malformed = await exchange(replica, { client_id: ' padded ', client_secret: 'x y' }, ORDERS);
    expect(wrong.status).toBe(401);
    expect(wrong.body).toEqual({ error: 'access_denied', error_description: 'Unauthorized' });
    expect([unknown.text, malformed.text]).toEqual([wrong.text, wrong.text]);
    expect([unknown.status, malformed.status]).toEqual([401, 401]);
  });

  test("the broker's own credential is not a tenant's", async () => {
    const { data } = (await house.root.read('auth/approle-broker/role/broker/role-id')) ?? {};
    const made = await house.root.write('auth/approle-broker/role/broker/secret-id');
    const client_secret = String(made.data?.['secret_id']);
    registerSecret('broker secret_id', client_secret);
    expect((await exchange(replica, { client_id: String(data?.['role_id']), client_secret }, ORDERS)).status).toBe(401);
  });
});

describe('Vault decides, not the broker', () => {
  test("a tenant's Vault token reads its own cached token and no neighbour's", async () => {
    await exchange(replica, acme, REPORTS);
    await exchange(replica, globex, REPORTS);
    const client = new VaultClient({ address: house.vault.address });
    const token = await vaultTokenOf(acme);
    const own = await client.read(house.tokenPath('acme', 'reports'), { token });
    expect(own?.data?.['data'] ?? own?.data).toMatchObject({ access_token: (await exchange(replica, acme, REPORTS)).body['access_token'] });
    await expect(client.read(house.tokenPath('globex', 'reports'), { token })).rejects.toMatchObject({ reason: 'denied' });
    await expect(client.read('postern/data/tenants/globex', { token })).rejects.toMatchObject({ reason: 'denied' });
    await client.close();
  });

  test('what somebody has planted where replicas share tokens is served to nobody, and replaced', async () => {
    const inPlugin = process.env['POSTERN_TEST_TOKEN_STORE'] === 'plugin';
    const first = await exchange(replica, acme, ORDERS);
    const foreign = String((await exchange(replica, globex, ORDERS)).body['access_token']);
    const path = house.tokenPath('acme', 'orders');
    const document = (await house.stored('acme', 'orders'))!;
    const own = String(first.body['access_token']);
    for (const planted of [foreign, own.slice(0, -100), `${own.slice(0, own.lastIndexOf('.'))}.${'A'.repeat(342)}`]) {
      const { version: _, ...data }: Record<string, unknown> = { ...document, access_token: planted };
      const now: Record<string, unknown> | undefined = await house.stored('acme', 'orders');
      await house.root.write(path, inPlugin ? { ...data, cas: now?.['version'] } : { data });
      // One that has nothing in memory.
      const fresh = await house.startReplica();
      const reply = await exchange(fresh, acme, ORDERS);
      expect(reply.status).toBe(200);
      expect(reply.body['access_token']).not.toBe(planted);
      expect(decodeJwt(String(reply.body['access_token']))).toMatchObject({ 'https://postern.dev/tenant': 'acme' });
      expect((await house.stored('acme', 'orders'))?.['access_token']).toBe(reply.body['access_token']);
      expect(await fresh.log()).toContain('not a token that was made for this tenant');
      await fresh.stop();
    }
  });

  test('logins leave no lease behind', async () => {
    for (let i = 0; i < 5; i++) await exchange(replica, await house.issueSecret('acme'), REPORTS);
    await expect(house.root.list('sys/leases/lookup/auth/approle/login')).resolves.toEqual([]);
  });

  test('a role that gives service tokens is refused, with the remedy in the log', async () => {
    // The mount would overrule the role.
    await house.root.write('sys/auth/approle/tune', { token_type: 'default-service' });
    await house.root.write('auth/approle/role/acme', { token_type: 'service' });
    try {
      expect((await exchange(replica, await house.issueSecret('acme'), REPORTS)).status).toBe(503);
      expect((await replica.events()).at(-1)).toMatchObject({ outcome: 'refused', error: 'misconfigured' });
    } finally {
      await house.root.write('auth/approle/role/acme', { token_type: 'batch' });
      await house.root.write('sys/auth/approle/tune', { token_type: 'batch' });
    }
  });
});

describe('one life of a token, one call to its source', () => {
  test('1,000 simultaneous first requests of one tenant: one call to Auth0', async () => {
    await using fresh = await startHouse();
    const only = await fresh.startReplicaProcess();
    const { client_id, client_secret } = await fresh.issueSecret('acme');
    const pool = new Pool(only.issuer, { connections: 1000, pipelining: 1 });
    const replies = await Promise.all(
      Array.from({ length: 1000 }, async () => {
        const { statusCode, body } = await pool.request({
          method: 'POST',
          path: '/oauth/token',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret, ...ORDERS }).toString(),
        });
        return { statusCode, token: ((await body.json()) as Record<string, string>)['access_token'] };
      }),
    );
    await pool.close();
    expect(new Set(replies.map(({ statusCode }) => statusCode))).toEqual(new Set([200]));
    expect(new Set(replies.map(({ token }) => token)).size).toBe(1);
    registerSecret('access token', String(replies[0]?.token));
    expect(fresh.auth0.calls.token).toBe(1);
  });

  test('three replicas at once: one call to Auth0, the same token from each', async () => {
    await using fresh = await startHouse();
    const replicas = await Promise.all([fresh.startReplica(), fresh.startReplica(), fresh.startReplica()]);
    const credential = await fresh.issueSecret('globex');
    const replies = await Promise.all(replicas.flatMap((each) => Array.from({ length: 30 }, () => exchange(each, credential, ORDERS))));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(replies.map(({ body }) => body['access_token'])).size).toBe(1);
    expect(fresh.auth0.calls.token).toBe(1);
  });

  test('a token is fetched anew in the background, ahead of its end, once', async () => {
    await using fresh = await startHouse();
    // 8 s of life: fetched anew between 6 and 6.8 s.
    for (const api of fresh.auth0.account.apis) api.lifetime = 8;
    const only = await fresh.startReplica({ env: { POSTERN_MIN_REMAINING: '1' } });
    const credential = await fresh.issueSecret('acme');
    const first = await exchange(only, credential, ORDERS);
    const seen = new Set([first.body['access_token']]);
    for (const end = Date.now() + 9_500; Date.now() < end;) {
      const reply = await exchange(only, credential, ORDERS);
      expect(reply.status).toBe(200);
      expect(Number(reply.body['expires_in'])).toBeGreaterThanOrEqual(0);
      seen.add(reply.body['access_token']);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(seen.size).toBe(2);
    expect(fresh.auth0.calls.token).toBe(2);
    const asked = (await only.events()).filter(({ source }) => source === 'auth0');
    // Each token that was fetched upstream has its line, also where no client waited for it.
    expect(asked).toMatchObject([
      { event: 'token.exchange', outcome: 'granted' },
      { event: 'token.refresh', outcome: 'refreshed', tenant: 'acme', api: 'orders' },
    ]);
  });
});

test('a tenant that is deleted leaves no cached token behind, of whichever scopes', async () => {
  await house.apply({ tenants: { ...TENANTS, leaver: { grants: [{ api: 'orders', scopes: ['read:orders', 'write:orders'] }] } } });
  const leaver = await house.issueSecret('leaver');
  expect((await exchange(replica, leaver, ORDERS)).status).toBe(200);
  expect((await exchange(replica, leaver, { ...ORDERS, scope: 'read:orders' })).status).toBe(200);
  expect(await house.stored('leaver', 'orders')).toHaveProperty('access_token');
  const client = new VaultClient({ address: house.vault.address });
  const access = new VaultAccess({ client, token: new VaultToken(house.vault.rootToken) });
  const longest = await longestLife(access);
  const begun = Date.now();
  const { name_free_at: free } = await deleteTenant(access, 'leaver');
  // A broker issues for two seconds more at most, and the issuer's clock may be half a minute ahead.
  expect(Date.parse(free) - begun).toBeGreaterThan((longest + 30) * 1000);
  await client.close();
  expect(await house.stored('leaver', 'orders')).toBeUndefined();
  const [folder] = house.tokenPath('leaver', '').replace('/data/', '/metadata/').split(/\/$/);
  expect(await house.root.list(String(folder))).toEqual([]);
});
