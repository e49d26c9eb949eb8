import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callAdmin } from '#test/fixture/admin.ts';
import type { AdminReply } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { personToken } from '#test/fixture/person.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

let house: House;
let replicas: LocalReplica[];
let folder: string;
const ACME = 'org_acme1';
const GLOBEX = 'org_globex1';
const REPORTS = APIS['reports']!.audience;
const ORDERS = APIS['orders']!.audience;
const secret = randomBytes(32).toString('hex');

const tenants = {
  acme: {
    ...TENANTS['acme'],
    organization: ACME,
    grants: [
      { api: 'orders', scopes: ['read:orders'] },
      { api: 'reports', scopes: ['read:reports'] },
    ],
    self_service: { keys_per_user: 5, keys: 200 },
  },
  globex: { organization: GLOBEX, grants: [{ api: 'reports', scopes: ['read:reports'] }], self_service: {} },
  initech: { organization: 'org_initech1', grants: [{ api: 'reports', scopes: ['read:reports'] }] },
  umbrella: {
    organization: 'org_umbrella1',
    grants: [{ api: 'reports', scopes: ['read:reports'] }],
    self_service: { keys_per_user: 5, keys: 2, max_ttl: 3_600 },
  },
};

beforeAll(async () => {
  registerSecret('log stream secret', secret);
  folder = await mkdtemp(join(tmpdir(), 'postern-user-keys-'));
  await writeFile(join(folder, 'secret'), secret);
  house = await startHouse({ tenants, self: true });
  const env = { POSTERN_LOG_STREAM_SECRET_FILE: join(folder, 'secret'), POSTERN_SELF_RATE: '100000' };
  replicas = await Promise.all([1, 2, 3].map(() => house.startReplica({ env })));
}, 180_000);
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const self = (jwt: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<AdminReply> =>
  callAdmin(replicas[0]!.issuer, { jwt }, method, path, body, headers);
const person = (sub: string, organization = ACME, permissions = ['read:reports', 'read:orders']): Promise<string> =>
  personToken(house, sub, { organization, permissions });
const verify = async (key: string, audience: string = REPORTS, replica = replicas[0]!): Promise<{ status: number; token: string }> => {
  const reply = await fetch(`${replica.issuer}verify?audience=${encodeURIComponent(audience)}`, { headers: { 'X-API-Key': key } });
  await reply.arrayBuffer();
  return { status: reply.status, token: reply.headers.get('authorization')?.replace('Bearer ', '') ?? '' };
};
const issue = async (jwt: string, more: Record<string, unknown> = {}): Promise<{ key: string; key_id: string }> => {
  const reply = await self(jwt, 'POST', '/self/v1/keys', { name: 'laptop', ...more });
  expect(reply.text).toContain('postern_');
  expect(reply.status).toBe(201);
  return reply.body as { key: string; key_id: string };
};

describe('a person makes keys of their own', () => {
  test('made, used, listed, renamed, rotated, revoked', async () => {
    const alice = await person('auth0|alice');
    const { key, key_id } = await issue(alice);
    const { status, token } = await verify(key);
    expect(status).toBe(200);
    expect(decodeJwt(token)).toMatchObject({ sub: 'auth0|alice', act: { sub: key_id }, org_id: ACME, scope: 'read:reports' });
    expect(decodeJwt(token)).not.toHaveProperty('gty');
    const renamed = await self(alice, 'PATCH', `/self/v1/keys/${key_id}`, { name: 'desktop' });
    expect([renamed.status, renamed.body['name']]).toEqual([200, 'desktop']);
    const listed = await self(alice, 'GET', '/self/v1/keys');
    expect(listed.body['keys']).toMatchObject([{ key_id, name: 'desktop', owner: 'auth0|alice', state: 'active' }]);
    const rotated = await self(alice, 'POST', `/self/v1/keys/${key_id}/rotate`, { overlap: 60 });
    expect(rotated.status).toBe(201);
    expect((await verify(rotated.body['key'])).status).toBe(200);
    expect((await verify(key)).status).toBe(200);
    expect((await self(alice, 'DELETE', `/self/v1/keys/${rotated.body['key_id']}`)).status).toBe(204);
    for (let waited = 0; (await verify(rotated.body['key'], REPORTS, replicas[2])).status === 200; waited += 50) {
      expect(waited).toBeLessThan(5000);
      await sleep(50);
    }
    // Each change is in the audit with the person who made it.
    const changes = (await replicas[0]!.events()).filter(({ caller }) => caller === 'auth0|alice');
    expect(changes.map(({ event }) => event)).toEqual(['self.issueOwnKey', 'self.renameOwnKey', 'self.rotateOwnKey', 'self.revokeOwnKey']);
    for (const change of changes)
      expect(change).toMatchObject({
        outcome: 'done',
        by: 'jwt',
        tenant: 'acme',
        key_id: expect.stringMatching(/^key_/),
        address: '127.0.0.1',
      });
  });

  test('at an API of Auth0, the owner is a claim of the Action', async () => {
    const { key, key_id } = await issue(await person('auth0|bella'));
    const { status, token } = await verify(key, ORDERS);
    expect(status).toBe(200);
    expect(decodeJwt(token)).toMatchObject({ 'https://postern.dev/tenant_owner': 'auth0|bella', 'https://postern.dev/tenant_key': key_id });
  });

  test('the same request with an Idempotency-Key has one key', async () => {
    const carl = await person('auth0|carl');
    const headers = { 'Idempotency-Key': randomBytes(16).toString('hex') };
    const first = await self(carl, 'POST', '/self/v1/keys', { name: 'one' }, headers);
    const second = await self(carl, 'POST', '/self/v1/keys', { name: 'one' }, headers);
    expect([first.status, second.status, second.headers['idempotency-replayed']]).toEqual([201, 201, 'true']);
    expect(second.body).toEqual(first.body);
    expect((await self(carl, 'GET', '/self/v1/keys')).body['keys']).toHaveLength(1);
  });
});

describe('what only the broker can enforce', () => {
  test("another owner's key and another tenant's look like none", async () => {
    const owner = await issue(await person('auth0|dora'));
    const foreign = await issue(await person('auth0|dora', GLOBEX, ['read:reports']));
    const eve = await person('auth0|eve', ACME, ['read:reports', 'manage:organization-keys-of-mine']);
    for (const { key_id } of [owner, foreign]) {
      for (const [method, path, body] of [
        ['GET', `/self/v1/keys/${key_id}`],
        ['PATCH', `/self/v1/keys/${key_id}`, { name: 'mine' }],
        ['POST', `/self/v1/keys/${key_id}/rotate`, { overlap: 0 }],
        ['DELETE', `/self/v1/keys/${key_id}`],
      ] as const) {
        const reply = await self(eve, method, path, body);
        expect([reply.status, reply.body['detail']]).toEqual([404, 'You have no key of this id']);
      }
    }
    expect((await verify(owner.key)).status).toBe(200);
    expect((await verify(foreign.key)).status).toBe(200);
    expect((await self(eve, 'GET', '/self/v1/keys?of=organization')).status).toBe(403);
    // An administrator sees and revokes, and does nothing else.
    const admin = await person('auth0|ada', ACME, ['manage:organization-keys']);
    const all = (await self(admin, 'GET', '/self/v1/keys?of=organization')).body['keys'] as { key_id: string }[];
    expect(all.map((one) => one.key_id)).toContain(owner.key_id);
    expect(all.map((one) => one.key_id)).not.toContain(foreign.key_id);
    expect((await self(admin, 'PATCH', `/self/v1/keys/${owner.key_id}`, { name: 'x' })).status).toBe(404);
    expect((await self(admin, 'DELETE', `/self/v1/keys/${owner.key_id}`)).status).toBe(204);
    expect((await self(admin, 'DELETE', `/self/v1/keys/${foreign.key_id}`)).status).toBe(404);
  });

  test.each<[string, Record<string, unknown>, number]>([
    ["a scope that isn't one's own", { scopes: ['read:orders'] }, 422],
    ["a scope that the tenant doesn't have", { scopes: ['write:payroll'] }, 422],
    ['a life longer than the tenant allows', { ttl: 31_536_000 }, 422],
    ['no end', { ttl: 0 }, 400],
    ['an owner', { owner: 'auth0|other' }, 400],
    ['a tenant', { tenant: 'globex' }, 400],
    ['a name of two lines', { name: 'a\nb' }, 400],
    ['a name that turns what stands after it around', { name: 'laptop \u202egnihton' }, 400],
    ['no name', { name: undefined }, 400],
  ])('refused: %s', async (_what, more, status) => {
    const fred = await person('auth0|fred', ACME, ['read:reports', 'write:payroll']);
    expect((await self(fred, 'POST', '/self/v1/keys', { name: 'n', ...more })).status).toBe(status);
    expect((await self(fred, 'GET', '/self/v1/keys')).body['keys']).toEqual([]);
  });

  test('a rotation looks anew at what its owner may do, and at how long a key may live', async () => {
    const ida = await person('auth0|ida');
    const { key, key_id } = await issue(ida);
    const less = await person('auth0|ida', ACME, ['read:orders']);
    const refused = await self(less, 'POST', `/self/v1/keys/${key_id}/rotate`, { overlap: 0 });
    expect([refused.status, refused.body['detail']]).toEqual([422, expect.stringContaining('read:reports')]);
    expect((await verify(key)).status).toBe(200);
    // An operator may have given it a longer life than people give themselves.
    const organization = 'org_umbrella1';
    const jwt = await person('auth0|ida', organization, ['read:reports']);
    const made = await self(jwt, 'POST', '/self/v1/keys', { name: 'short', ttl: 3_600 });
    expect((await self(jwt, 'POST', '/self/v1/keys', { name: 'long', ttl: 3_601 })).status).toBe(422);
    const rotated = await self(jwt, 'POST', `/self/v1/keys/${made.body['key_id']}/rotate`, { overlap: 0 });
    expect(rotated.status, rotated.text).toBe(201);
    expect(Date.parse(rotated.body['expires_at']) - Date.now()).toBeLessThanOrEqual(3_602_000);
    expect((await self(jwt, 'DELETE', `/self/v1/keys/${rotated.body['key_id']}`)).status).toBe(204);
  });

  test('as many keys as an organization may have, whosever they are and at whichever replica', async () => {
    const people = await Promise.all([1, 2, 3].map((n) => person(`auth0|umbrella-${n}`, 'org_umbrella1', ['read:reports'])));
    const made = [];
    for (const [at, jwt] of people.entries())
      made.push(await callAdmin(replicas[at]!.issuer, { jwt }, 'POST', '/self/v1/keys', { name: 'n' }));
    expect(made.map(({ status }) => status)).toEqual([201, 201, 409]);
    // No number of anybody's is told beside the limit, and what is revoked makes room.
    expect(made[2]!.body['detail']).toContain('2 keys');
    expect((await self(people[0]!, 'DELETE', `/self/v1/keys/${made[0]!.body['key_id']}`)).status).toBe(204);
    expect((await self(people[2]!, 'POST', '/self/v1/keys', { name: 'n' })).status).toBe(201);
  });

  test('script in a name is text, in JSON, that no page frames', async () => {
    const name = '<script>alert(1)</script>"\'&';
    const gus = await person('auth0|gus');
    await issue(gus, { name });
    const reply = await self(gus, 'GET', '/self/v1/keys');
    expect(reply.body['keys'][0].name).toBe(name);
    expect(reply.headers['content-type']).toMatch(/^application\/json/);
    expect(reply.headers['x-content-type-options']).toBe('nosniff');
    expect(reply.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(reply.headers['access-control-allow-origin']).toBeUndefined();
  });

  test('as many keys as the tenant allows, at once too', async () => {
    const hugo = await person('auth0|hugo');
    const replies = await Promise.all(Array.from({ length: 8 }, () => self(hugo, 'POST', '/self/v1/keys', { name: 'n' })));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 201, 201, 201, 201, 409, 409, 409]);
  });
});

describe('requests that are not what they seem', () => {
  const keysOf = async (jwt: string): Promise<unknown[]> => (await self(jwt, 'GET', '/self/v1/keys')).body['keys'];

  test("another site's page does nothing in a person's name: there are no cookies, no other origin, and JSON alone", async () => {
    const jwt = await person('auth0|lena');
    const origin = { Origin: 'https://evil.example.com' };
    const cookie = { Cookie: `session=${jwt}; Authorization=Bearer ${jwt}` };
    const send = (
      headers: Record<string, string>,
      body = JSON.stringify({ name: 'forged' }),
      path = '/self/v1/keys',
    ): Promise<AdminReply> => callAdmin(replicas[0]!.issuer, undefined, 'POST', path, body, headers);
    const bearer = { Authorization: `Bearer ${jwt}` };
    const forged = [
      [await send({ ...origin, ...cookie }), 401],
      [await send({ ...origin, ...cookie }, `name=forged&access_token=${jwt}`), 401],
      [await send(origin, undefined, `/self/v1/keys?access_token=${jwt}`), 401],
      // What a form can send, were the browser to add the token.
      [await send({ ...origin, ...bearer, 'Content-Type': 'text/plain' }), 415],
      [await send({ ...origin, ...bearer, 'Content-Type': 'application/x-www-form-urlencoded' }, 'name=forged'), 415],
      [await send({ ...bearer, 'X-HTTP-Method-Override': 'GET' }, '{"name":"forged","owner":"auth0|mia"}'), 400],
    ] as const;
    for (const [reply, status] of forged) {
      expect(reply.status, reply.text).toBe(status);
      expect(reply.headers['access-control-allow-origin']).toBeUndefined();
      expect(reply.headers['set-cookie']).toBeUndefined();
    }
    const preflight = await callAdmin(replicas[0]!.issuer, undefined, 'OPTIONS', '/self/v1/keys', undefined, {
      ...origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
    });
    expect([preflight.status, Object.keys(preflight.headers).filter((name) => name.startsWith('access-control-'))]).toEqual([405, []]);
    expect(await keysOf(jwt)).toEqual([]);
  });

  test("an Idempotency-Key that somebody else used gives one's own key, and another request under one's own is told", async () => {
    const [mia, nora] = [await person('auth0|mia'), await person('auth0|nora')];
    const headers = { 'Idempotency-Key': randomBytes(16).toString('hex') };
    const hers = await self(mia, 'POST', '/self/v1/keys', { name: 'same' }, headers);
    const others = await self(nora, 'POST', '/self/v1/keys', { name: 'same' }, headers);
    expect([hers.status, others.status, others.headers['idempotency-replayed']]).toEqual([201, 201, undefined]);
    expect(others.body['key_id']).not.toBe(hers.body['key_id']);
    expect(others.body['owner']).toBe('auth0|nora');
    expect((await self(mia, 'POST', '/self/v1/keys', { name: 'other' }, headers)).status).toBe(422);
    expect(await keysOf(mia)).toHaveLength(1);
  });

  test.each([
    '/self/v1/keys/..%2f..%2fkeys',
    '/self/v1/keys/%00',
    '/self/v1/keys/key_..',
    '/self/v1/keys/*',
    '/self/v1/keys//rotate',
    '/self/../v1/tenants',
    '/self/v1/keys?of=everybody',
    '/self/v1/keys?of=me&of=organization',
    '/self/v1/keys?owner=auth0%7Cmia',
    '/self/v1/keys?cursor=%2e%2e',
    '/self/v1/nothing',
  ])('%s is the right error', async (path) => {
    const reply = await self(await person('auth0|olga'), 'GET', path);
    expect(reply.status, reply.text).toBeOneOf([400, 404]);
    expect(reply.text).not.toContain('auth0|mia');
  });

  test.each<[string, Record<string, unknown>]>([
    ['scopes twice over', { name: 'n', scopes: ['read:reports', 'read:reports', 'drop:tables'] }],
    ['a scope with a space', { name: 'n', scopes: ['read:reports write:reports'] }],
    ['a scope with a quote', { name: 'n', scopes: ['read:reports"'] }],
    ['blocks that are none', { name: 'n', cidrs: ['0.0.0.0/33'] }],
    ['an id of its own choice', { name: 'n', key_id: 'key_000000000000000000000000' }],
    ['a prototype', JSON.parse('{"name":"n","__proto__":{"administrator":true}}') as Record<string, unknown>],
    ['metadata', { name: 'n', metadata: { owner: 'auth0|mia' } }],
  ])('a key with %s is not made', async (_what, body) => {
    const jwt = await person('auth0|petra');
    const reply = await self(jwt, 'POST', '/self/v1/keys', body);
    expect(reply.status, reply.text).toBeOneOf([400, 422]);
    expect(await keysOf(jwt)).toEqual([]);
  });
});

describe('who is no owner', () => {
  test.each<[string, () => Promise<string>, number]>([
    ['nobody', async () => 'a.b.c', 401],
    [
      'a token for another audience',
      () => personToken(house, 'auth0|ivy', { organization: ACME, audience: 'https://other.example.com' }),
      401,
    ],
    ['an application', () => person('backend@clients'), 403],
    ['a person whose id would not fit into metadata', () => person('samlp|acme|CN=Ivy, OU=x'), 403],
    ['a person of no organization', () => personToken(house, 'auth0|ivy', { permissions: ['read:reports'] }), 403],
    ['a person of two organizations', () => personToken(house, 'auth0|ivy', { organization: [ACME, GLOBEX] }), 403],
    ['a person of an organization that is no tenant', () => person('auth0|ivy', 'org_nobody1'), 403],
    ['a person of a tenant without self-service', () => person('auth0|ivy', 'org_initech1'), 403],
    ['a path for an organization', () => person('auth0|ivy', '../acme'), 403],
  ])('%s', async (_who, token, status) => {
    const jwt = await token();
    for (const [method, path, body] of [
      ['GET', '/self/v1/keys'],
      ['GET', '/self/v1/me'],
      ['POST', '/self/v1/keys', { name: 'n' }],
    ] as const) {
      const reply = await self(jwt, method, path, body);
      expect([reply.status, reply.headers['content-type']?.split(';')[0]]).toEqual([status, 'application/problem+json']);
    }
  });
});

describe('Vault decides', () => {
  test("a person's Vault token reaches the credentials of their tenant and no other's", async () => {
    const jwt = await person('auth0|jack');
    const client = new VaultClient({ address: house.vault.address });
    try {
      const { auth } = await client.write('auth/postern-self/login', { role: 'self', jwt });
      const token = String(auth?.['client_token']);
      registerSecret('vault token', token);
      const capabilities = async (paths: readonly string[]): Promise<unknown> =>
        (await house.root.write('sys/capabilities', { token, paths: [...paths] })).data;
      const of = (tenant: string): string[] => [
        `auth/approle/role/${tenant}`,
        `auth/approle/role/${tenant}/role-id`,
        `auth/approle/role/${tenant}/secret-id`,
        `auth/approle/role/${tenant}/secret-id-accessor/lookup`,
        `auth/approle/role/${tenant}/secret-id-accessor/destroy`,
        `postern/data/tenants/${tenant}`,
        `postern/data/keys/${tenant}`,
        `postern/data/state/self/${tenant}/a`,
      ];
      const own = (await capabilities(of('acme'))) as Record<string, string[]>;
      for (const path of of('acme')) expect([path, own[path]]).not.toEqual([path, ['deny']]);
      const forbidden = [
        ...of('globex'),
        ...of('acme-2'),
        'postern/data/state/epoch',
        'postern/data/state/ended',
        'postern/data/state/departures',
        'postern/data/upstream/auth0',
        'postern-tokens/data/acme/reports',
        'auth/approle/role/acme/custom-secret-id',
        'auth/approle/role/acme/policies',
        'transit/sign/postern',
        'auth0/creds/acme',
      ];
      const others = (await capabilities(forbidden)) as Record<string, string[]>;
      for (const path of forbidden) expect([path, others[path]]).toEqual([path, ['deny']]);
    } finally {
      await client.close();
    }
  });
});

describe('when a person goes, the keys go', () => {
  const now = (): string => new Date().toISOString();
  const deliver = (events: unknown, authorization = `Bearer ${secret}`, replica = replicas[1]!): Promise<Response> =>
    fetch(`${replica.issuer}self/v1/auth0-logs`, {
      method: 'POST',
      headers: { Authorization: authorization, 'Content-Type': 'application/json' },
      body: typeof events === 'string' ? events : JSON.stringify(events),
    });
  const sapi = (method: string, path: string, body: unknown = {}): unknown => ({
    log_id: randomBytes(8).toString('hex'),
    data: { date: now(), type: 'sapi', description: 'x', details: { request: { method, path, body } } },
  });

  test.each<[string, (user: string) => unknown]>([
    ['deleted', (user) => ({ log_id: '1', data: { date: now(), type: 'sdu', user_id: user } })],
    ['blocked', (user) => sapi('patch', `/api/v2/users/${encodeURIComponent(user)}`, { blocked: true })],
    ['removed from the organization', (user) => sapi('delete', `/api/v2/organizations/${ACME}/members`, { members: [user] })],
    ['stripped of a permission', (user) => sapi('delete', `/api/v2/users/${encodeURIComponent(user)}/permissions`)],
    ['stripped of a role', (user) => sapi('delete', `/api/v2/organizations/${ACME}/members/${encodeURIComponent(user)}/roles`)],
  ])('%s: every replica refuses them within 10 s', async (what, event) => {
    const user = `auth0|left-${what.replaceAll(' ', '-')}`;
    const { key } = await issue(await person(user));
    const stays = await issue(await person(`auth0|stays-${what.replaceAll(' ', '-')}`));
    const { token } = await verify(key);
    for (const replica of replicas) expect((await verify(key, REPORTS, replica)).status).toBe(200);
    const begin = performance.now();
    expect((await deliver([event(user)])).status).toBe(204);
    for (const replica of replicas)
      while ((await verify(key, REPORTS, replica)).status === 200) {
        expect(performance.now() - begin).toBeLessThan(10_000);
        await sleep(20);
      }
    for (const replica of replicas) {
      expect((await verify(key, REPORTS, replica)).status).toBe(401);
      expect((await verify(stays.key, REPORTS, replica)).status).toBe(200);
    }
    process.stdout.write(`departure ${what}: refused by three replicas after ${Math.round(performance.now() - begin)} ms\n`);
    const credential = await house.issueSecret('acme');
    const introspected = await fetch(`${replicas[0]!.issuer}oauth/introspect`, {
      method: 'POST',
      headers: { Authorization: `Basic ${btoa(`${credential.client_id}:${credential.client_secret}`)}` },
      body: new URLSearchParams({ token }),
    });
    expect(await introspected.json()).toEqual({ active: false });
  });

  test('a delivery repeated later ends nothing that was made since', async () => {
    const event = { log_id: '2', data: { date: new Date(Date.now() - 10_000).toISOString(), type: 'sdu', user_id: 'auth0|back' } };
    expect((await deliver(event)).status).toBe(204);
    const { key } = await issue(await person('auth0|back'));
    expect((await deliver([event, event])).status).toBe(204);
    await sleep(2500);
    for (const replica of replicas) expect((await verify(key, REPORTS, replica)).status).toBe(200);
  });

  test('a delivery of 1,000 events out of order, about people nobody knows and with one who has a key: refused within 10 s', async () => {
    const user = 'auth0|one-of-many';
    const { key } = await issue(await person(user));
    const stays = await issue(await person('auth0|none-of-many'));
    const second = (n: number): string => new Date(Date.now() - ((n * 7_919) % 86_400) * 1000).toISOString();
    const events = Array.from({ length: 1_000 }, (_, n) => ({
      log_id: `${n}`,
      data: { date: second(n), type: 'sdu', user_id: `auth0|unknown-${n}` },
    }));
    events[617] = { log_id: '617', data: { date: now(), type: 'sdu', user_id: user } };
    const begin = performance.now();
    expect((await deliver(events)).status).toBe(204);
    for (const replica of replicas) while ((await verify(key, REPORTS, replica)).status === 200) await sleep(20);
    const took = performance.now() - begin;
    process.stdout.write(`one of 1,000 events: refused by three replicas after ${Math.round(took)} ms\n`);
    expect(took).toBeLessThan(10_000);
    for (const replica of replicas) expect((await verify(stays.key, REPORTS, replica)).status).toBe(200);
    // Again, in another order and at another replica, which looks each second: nothing is news.
    await sleep(2_000);
    const again = performance.now();
    expect((await deliver(events.toReversed(), undefined, replicas[2]!)).status).toBe(204);
    expect(performance.now() - again).toBeLessThan(5_000);
    expect((await replicas[2]!.events()).filter(({ event }) => event === 'self.departures')).toEqual([]);
  });

  test.each<[string, () => Promise<Response>, number]>([
    ['no secret', () => deliver([], ''), 401],
    ['a wrong secret', () => deliver([], `Bearer ${secret.replace(/.$/, 'x')}`), 401],
    ['no JSON', () => deliver('{'), 400],
    ['too many events', () => deliver(Array.from({ length: 1001 }, () => ({}))), 400],
    ['too large a body', () => deliver('x'.repeat(1_100_000)), 413],
    ['events of no known form', () => deliver([1, null, 'x', { data: 1 }, { data: { date: 'x', type: 'sdu', user_id: '../../x' } }]), 204],
  ])('the log stream: %s', async (_what, send, status) => {
    expect((await send()).status).toBe(status);
  });
});
