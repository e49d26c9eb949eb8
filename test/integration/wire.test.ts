import { gzipSync } from 'node:zlib';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import { APIS } from '#dev/scenario.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

/* What real clients, proxies and operators send, one of each kind, through a whole broker. The unit tests have the many. */

const FORM = 'application/x-www-form-urlencoded';

let house: House;
let replica: LocalReplica;
let acme: Credential;
let globex: Credential;

beforeAll(async () => {
  house = await startHouse({ admin: true });
  // As `vault kv patch` writes: text, whatever it was.
  await rewrite('orders', { ...APIS.orders, scopes: APIS.orders.scopes.join(' '), lifetime: '86400' });
  await rewrite('payroll', { ...APIS.payroll, scopes: 'read:payroll', lifetime: 'an hour' });
  replica = await house.startReplica({ env: { POSTERN_TRUSTED_PROXIES: '127.0.0.1' } });
  [acme, globex] = [await house.issueSecret('acme'), await house.issueSecret('globex')];
});
afterAll(() => house?.stop());

async function rewrite(api: string, document: Record<string, unknown>): Promise<void> {
  await house.root.write(`postern/data/apis/${api}`, { data: document });
}

/** @param body as it is sent; an empty one where there is none */
async function post(path: string, headers: Record<string, string>, body: string | Uint8Array = '', base = replica.issuer) {
  const response = await fetch(`${base}${path}`, { method: 'POST', headers, body, redirect: 'error' });
  const text = await response.text();
  const parsed = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
  if (typeof parsed['access_token'] === 'string') registerSecret('access token', parsed['access_token']);
  return { status: response.status, headers: response.headers, body: parsed };
}

const form = ({ client_id, client_secret }: Credential, more: Record<string, string> = {}): string =>
  new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret, audience: APIS.orders.audience, ...more }).toString();

describe('resource (RFC 8707) in client_credentials', () => {
  test('names the API of the token', async () => {
    const { body, status } = await exchange(replica, acme, { resource: APIS.reports.audience });
    expect(status).toBe(200);
    expect(decodeJwt(String(body['access_token'])).aud).toBe(APIS.reports.audience);
  });

  test.each(['orders', 'https://nowhere.example.com', `${APIS.reports.audience}#part`])('%s is an invalid_target', async (resource) => {
    expect(await exchange(replica, acme, { resource })).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
  });
});

test.each(['ISO-8859-1', 'utf8', 'us-ascii', '"UTF-8"'])('a form that says charset=%s is a form', async (charset) => {
  expect((await post('oauth/token', { 'Content-Type': `${FORM}; charset=${charset}` }, form(acme))).status).toBe(200);
});

test('a compressed body is 415, with the coding that is taken', async () => {
  const reply = await post('oauth/token', { 'Content-Type': FORM, 'Content-Encoding': 'gzip' }, gzipSync(form(acme)));
  expect([reply.status, reply.headers.get('accept-encoding')]).toEqual([415, 'identity']);
});

test.each([
  ['203.0.113.9:51008', '203.0.113.9'],
  ['[2001:db8:0:0::9]:51008', '2001:db8::9'],
  ['2001:0DB8::9', '2001:db8::9'],
])('X-Forwarded-For: %s of a trusted proxy is %s', async (header, address) => {
  expect((await exchange(replica, acme, { audience: APIS.orders.audience }, { headers: { 'X-Forwarded-For': header } })).status).toBe(200);
  expect((await replica.events()).at(-1)).toMatchObject({ outcome: 'granted', address });
});

describe('a request that nobody vouches for', () => {
  const requests: [what: string, path: string, body: string][] = [
    ['a wrong secret in the body', 'oauth/token', 'grant_type=client_credentials&client_id=x&client_secret=y'],
    ['the same at introspection', 'oauth/introspect', 'token=x&client_id=x&client_secret=y'],
    ['nothing at introspection', 'oauth/introspect', 'token=x'],
    ['nothing at revocation', 'oauth/revoke', 'token=x'],
  ];
  const basic = `Basic ${btoa('x:y')}`;
  const answer = async (path: string, headers: Record<string, string>, body: string, base?: string) => {
    const reply = await post(path, { 'Content-Type': FORM, ...headers }, body, base);
    return [reply.status, reply.body['error'], reply.headers.get('www-authenticate')?.split(' ')[0]];
  };

  test.each(requests)("%s is Auth0's 401, with a challenge only for a client that used the header", async (_what, path, body) => {
    expect(await answer(path, {}, body)).toEqual([401, 'access_denied', undefined]);
  });

  test('a wrong secret in the header is 401 with a challenge', async () => {
    const body = 'grant_type=client_credentials';
    expect(await answer('oauth/token', { Authorization: basic }, body)).toEqual([401, 'access_denied', 'Basic']);
  });

  test("nothing at all at the token endpoint is Auth0's 400", async () => {
    expect(await answer('oauth/token', {}, 'grant_type=client_credentials')).toEqual([400, 'invalid_request', undefined]);
  });

  test('each is 401 invalid_client with a challenge in the dialect of RFC 6749', async () => {
    const strict = await house.startReplica({ env: { POSTERN_ERROR_DIALECT: 'rfc6749' } });
    for (const [, path, body] of [...requests, ['', 'oauth/token', 'grant_type=client_credentials'] as const])
      expect(await answer(path, {}, body, strict.issuer)).toEqual([401, 'invalid_client', 'Basic']);
    await strict.stop();
  });
});

test('an issuer with a path is served below it, its metadata by both rules', async () => {
  const issuer = 'http://127.0.0.1:1/tenant1/';
  const below = await house.startReplica({ env: { POSTERN_ISSUER: issuer } });
  for (const path of [
    '.well-known/oauth-authorization-server/tenant1',
    'tenant1/.well-known/openid-configuration',
    'tenant1/.well-known/oauth-authorization-server',
  ]) {
    const response = await fetch(`${below.issuer}${path}`);
    expect([response.status, await response.json()]).toMatchObject([200, { issuer, token_endpoint: `${issuer}oauth/token` }]);
  }
  const { body, status } = await exchange({ issuer: `${below.issuer}tenant1/` }, acme, { audience: APIS.reports.audience });
  expect(status).toBe(200);
  expect(decodeJwt(String(body['access_token'])).iss).toBe(issuer);
  await below.stop();
});

describe('an API that vault kv patch made all text', () => {
  test('is served where each text means one thing', async () => {
    const { body } = await exchange(replica, acme, { audience: APIS.orders.audience });
    expect(String(body['scope']).split(' ').sort()).toEqual([...APIS.orders.scopes].sort());
  });

  test('is 503 where one means nothing, not 403 for ever', async () => {
    expect(await exchange(replica, globex, { audience: APIS.payroll.audience })).toMatchObject({
      status: 503,
      body: { error: 'temporarily_unavailable' },
    });
  });
});

test('DELETE and POST without a body may have a Content-Type at the admin API', async () => {
  const jwt = await backEndToken(house, Object.keys(PERMISSIONS));
  const call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    callAdmin(replica.admin, { jwt }, method, `/v1/tenants/acme${path}`, body, headers);
  const issued = await call('POST', '/keys', { name: 'wire' });
  expect(issued.status).toBe(201);
  for (const type of ['application/json', FORM, 'text/plain']) {
    expect((await call('POST', '/disable', undefined, { 'Content-Type': type, 'Content-Length': '0' })).status).toBeLessThan(300);
  }
  const removed = await call('DELETE', `/keys/${issued.body['key_id']}`, undefined, { 'Content-Type': FORM });
  expect(removed.status).toBe(204);
});
