import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Auth0Person } from '#dev/auth0.ts';
import { APIS } from '#dev/scenario.ts';
import { callAdmin } from '#test/fixture/admin.ts';
import type { AdminReply } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { manage, managementToken } from '#test/fixture/management.ts';
import { SELF_AUDIENCE, personToken } from '#test/fixture/person.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';

const ACME = 'org_acme1';
const GLOBEX = 'org_globex1';
const REPORTS = APIS.reports.audience;
const secret = randomBytes(32).toString('hex');
const grants = [
  { api: 'orders', scopes: ['read:orders'] },
  { api: 'reports', scopes: ['read:reports'] },
];

let house: House;
let replicas: LocalReplica[];
let folder: string;
let operator: string;
let management: string;

beforeAll(async () => {
  registerSecret('log stream secret', secret);
  folder = await mkdtemp(join(tmpdir(), 'postern-departure-'));
  await writeFile(join(folder, 'secret'), secret);
  house = await startHouse({
    self: true,
    tenants: {
      acme: { organization: ACME, grants, self_service: { keys_per_user: 20 } },
      globex: { organization: GLOBEX, grants, self_service: {} },
    },
  });
  const env = {
    POSTERN_LOG_STREAM_SECRET_FILE: join(folder, 'secret'),
    POSTERN_SELF_RATE: '100000',
    POSTERN_THROTTLE_ADDRESS: '100000',
    POSTERN_THROTTLE_CLIENT: '100000',
  };
  replicas = await Promise.all([1, 2, 3].map(() => house.startReplica({ env })));
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
  management = await managementToken(house.auth0);
}, 180_000);
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  house.auth0.account.logStreams = [];
  house.auth0.faults.clear();
});

const stream = (replica: LocalReplica) => ({
  id: `lst_${randomBytes(4).toString('hex')}`,
  name: 'postern',
  httpEndpoint: `${replica.issuer}self/v1/auth0-logs`,
  httpAuthorization: `Bearer ${secret}`,
});

/** Somebody of acme who may read both. */
function join_(id: string, more: Partial<Auth0Person> = {}): void {
  house.auth0.account.people.push({
    id,
    email: `${id.slice(6)}@acme.example.com`,
    name: id,
    organizations: [ACME],
    permissions: { [SELF_AUDIENCE]: ['read:reports', 'read:orders'] },
    ...more,
  });
}

const self = (jwt: string, method: string, path: string, body?: unknown): Promise<AdminReply> =>
  callAdmin(replicas[0]!.issuer, { jwt }, method, path, body);

async function issue(id: string, scopes = ['read:reports'], organization = ACME): Promise<{ key: string; key_id: string; jwt: string }> {
  const jwt = await personToken(house, id, { organization, permissions: ['read:reports', 'read:orders'] });
  const reply = await self(jwt, 'POST', '/self/v1/keys', { name: 'laptop', scopes });
  expect([reply.status, reply.body['detail']]).toEqual([201, undefined]);
  return { key: reply.body['key'] as string, key_id: reply.body['key_id'] as string, jwt };
}

async function verify(key: string, replica = replicas[0]!, audience: string = REPORTS): Promise<number> {
  const reply = await fetch(`${replica.issuer}verify?audience=${encodeURIComponent(audience)}`, { headers: { 'X-API-Key': key } });
  await reply.arrayBuffer();
  return reply.status;
}

/** @returns ms from `since` until all three refuse it */
async function refused(key: string, since: number): Promise<number> {
  for (const replica of replicas)
    while ((await verify(key, replica)) === 200) {
      expect(performance.now() - since).toBeLessThan(10_000);
      await sleep(20);
    }
  return performance.now() - since;
}

const sync = (...args: string[]): Promise<Ran> =>
  postern(['owners', 'sync', ...args], {
    env: {
      VAULT_ADDR: house.vault.address,
      VAULT_TOKEN: operator,
      POSTERN_SELF_AUDIENCE: SELF_AUDIENCE,
      AUTH0_DOMAIN: house.auth0.issuer,
      AUTH0_MGMT_TOKEN: management,
    },
  });

const user = (id: string): string => `users/${encodeURIComponent(id)}`;
const permission = (name: string) => ({ permissions: [{ resource_server_identifier: SELF_AUDIENCE, permission_name: name }] });

/** What an administrator does at Auth0 to somebody. */
const EVENTS: readonly (readonly [what: string, why: string, act: (id: string) => Promise<unknown>])[] = [
  ['deleted', 'deleted', (id) => manage(house.auth0, management, 'DELETE', user(id))],
  ['blocked', 'blocked', (id) => manage(house.auth0, management, 'PATCH', user(id), { blocked: true })],
  ['removed', 'left', (id) => manage(house.auth0, management, 'DELETE', `organizations/${ACME}/members`, { members: [id] })],
  ['stripped', 'permissions', (id) => manage(house.auth0, management, 'DELETE', `${user(id)}/permissions`, permission('read:reports'))],
];

describe('by log stream', () => {
  test.each(EVENTS)('%s: refused by three replicas within 10 s', async (what, _why, act) => {
    const id = `auth0|stream-${what}`;
    join_(id);
    const { key } = await issue(id);
    join_(`${id}-colleague`);
    const stays = await issue(`${id}-colleague`);
    for (const replica of replicas) expect(await verify(key, replica)).toBe(200);
    // Auth0 knows one address; in front of the replicas that is whichever the balancer takes.
    house.auth0.account.logStreams = [stream(replicas[1]!)];
    const begin = performance.now();
    await act(id);
    const took = await refused(key, begin);
    process.stdout.write(`departure by log stream, ${what}: refused by three replicas ${Math.round(took)} ms after the event\n`);
    for (const replica of replicas) expect([await verify(key, replica), await verify(stays.key, replica)]).toEqual([401, 200]);
  });

  test('an answer that got lost is delivered again, and a replica that is away is no loss', async () => {
    join_('auth0|stream-retry');
    const { key } = await issue('auth0|stream-retry');
    const away = { ...stream(replicas[0]!), httpEndpoint: 'http://127.0.0.1:9/self/v1/auth0-logs' };
    house.auth0.account.logStreams = [away];
    const begin = performance.now();
    await manage(house.auth0, management, 'PATCH', user('auth0|stream-retry'), { blocked: true });
    away.httpEndpoint = stream(replicas[2]!).httpEndpoint;
    await refused(key, begin);
  });
});

describe('an access token from before', () => {
  test('a delivery that comes late ends what it made since, and nothing of a login since', async () => {
    const id = 'auth0|late';
    join_(id);
    const { jwt } = await issue(id);
    house.auth0.account.logStreams = [{ ...stream(replicas[0]!), httpEndpoint: 'http://127.0.0.1:9/' }];
    await manage(house.auth0, management, 'PATCH', user(id), { blocked: true });
    const told = house.auth0.log.events.at(-1)!;
    // Two seconds around an event count as before it, and both ends are whole seconds.
    await sleep(6_000);
    const made = await self(jwt, 'POST', '/self/v1/keys', { name: 'quick', scopes: ['read:reports'] });
    expect(made.status).toBe(201);
    await manage(house.auth0, management, 'PATCH', user(id), { blocked: false });
    const back = await issue(id);
    for (const replica of replicas) expect(await verify(back.key, replica)).toBe(200);
    for (let delivery = 0; delivery < 2; delivery += 1) expect(await house.auth0.log.send(stream(replicas[1]!), [told])).toBe(204);
    await refused(String(made.body['key']), performance.now());
    for (const replica of replicas) expect(await verify(back.key, replica)).toBe(200);
  });

  test('makes no new key: of one who was blocked, and of one who lost a permission', async () => {
    for (const [what, , act] of [EVENTS[1]!, EVENTS[3]!]) {
      const id = `auth0|before-${what}`;
      join_(id);
      const { key, jwt } = await issue(id);
      house.auth0.account.logStreams = [stream(replicas[0]!)];
      await act(id);
      await refused(key, performance.now());
      expect((await self(jwt, 'POST', '/self/v1/keys', { name: 'again' })).status).toBe(401);
    }
  });
});

describe('postern owners sync', () => {
  test('finds who went while no stream told, tells every broker, destroys their keys and no others', async () => {
    const made = new Map<string, Awaited<ReturnType<typeof issue>>[]>();
    for (const [what] of EVENTS) {
      const id = `auth0|sync-${what}`;
      join_(id);
      made.set(what, [await issue(id), await issue(id, ['read:orders'])]);
    }
    join_('auth0|sync-stays');
    const stays = await issue('auth0|sync-stays');
    join_('auth0|sync-role', { permissions: {}, organizationRoles: { [ACME]: ['rol_reader'] } });
    house.auth0.account.roles = [{ id: 'rol_reader', name: 'reader', permissions: { [SELF_AUDIENCE]: ['read:reports'] } }];
    const byRole = await issue('auth0|sync-role');
    for (const [what, , act] of EVENTS) await act(`auth0|sync-${what}`);

    const looked = await sync('acme', '--dry-run', '--json');
    expect(looked.code, looked.stderr).toBe(0);
    for (const keys of made.values()) expect(await verify(keys[0]!.key)).toBe(200);

    const begin = performance.now();
    const ran = await sync('acme', '--json');
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.json['gone']).toEqual(looked.json['gone']);
    const gone = new Map((ran.json['gone'] as { owner: string; why: string; keys: string[] }[]).map((one) => [one.owner, one]));
    for (const [what, why] of EVENTS) {
      const [reports, orders] = made.get(what)!;
      const found = gone.get(`auth0|sync-${what}`);
      expect([what, found?.why]).toEqual([what, why]);
      await refused(reports!.key, begin);
      // Who lost one permission keeps the key that never had it.
      expect(found?.keys.includes(orders!.key_id)).toBe(what !== 'stripped');
      expect(await verify(orders!.key, replicas[2]!, APIS.orders.audience)).toBe(what === 'stripped' ? 200 : 401);
      // That their keys ended is told elsewhere than that they went: a broker may hear of the one a look before the other.
      while ((await self(reports!.jwt, 'GET', '/self/v1/keys')).status === 200) {
        expect(performance.now() - begin).toBeLessThan(10_000);
        await sleep(20);
      }
      expect((await self(reports!.jwt, 'POST', '/self/v1/keys', { name: 'again' })).status).toBe(401);
    }
    expect(gone.has('auth0|sync-stays') || gone.has('auth0|sync-role')).toBe(false);
    for (const { key } of [stays, byRole]) expect(await verify(key)).toBe(200);
    const again = await sync('acme', '--json');
    expect([again.code, again.json['gone']]).toEqual([0, []]);
  });

  test('a role that loses a permission takes it from everybody who has the role', async () => {
    house.auth0.account.roles = [{ id: 'rol_shared', name: 'shared', permissions: { [SELF_AUDIENCE]: ['read:reports'] } }];
    join_('auth0|shared', { permissions: {}, roles: ['rol_shared'] });
    const { key } = await issue('auth0|shared');
    await manage(house.auth0, management, 'DELETE', 'roles/rol_shared/permissions', permission('read:reports'));
    expect((await sync('acme')).code).toBe(0);
    await refused(key, performance.now());
  });

  test('Auth0 that allows no more for now is waited for', async () => {
    house.auth0.faults.set({ kind: 'rate_limit', retryAfter: 1 }, { endpoint: 'management', times: 3 });
    expect((await sync('acme', '--dry-run')).code).toBe(0);
  });

  test('the wrong Auth0 tenant ends nobody', async () => {
    join_('auth0|elsewhere');
    const { key } = await issue('auth0|elsewhere');
    const { organizations } = house.auth0.account;
    const api = await sync('acme', '--audience', 'https://elsewhere.example.com');
    expect([api.code, api.stderr]).toEqual([6, expect.stringContaining('no such API')]);
    house.auth0.account.organizations = organizations.filter(({ id }) => id !== ACME);
    try {
      const ran = await sync('acme', '--json');
      expect(ran.code).toBe(6);
      expect(ran.json).toMatchObject({ gone: [], unknown_organizations: [ACME] });
    } finally {
      house.auth0.account.organizations = organizations;
    }
    expect(await verify(key)).toBe(200);
  });

  test.each<[string, Record<string, string | undefined>, number, string]>([
    ['no audience', { POSTERN_SELF_AUDIENCE: undefined }, 2, '--audience'],
    ['no domain', { AUTH0_DOMAIN: undefined }, 2, 'AUTH0_DOMAIN'],
    ['a token that has ended', { AUTH0_MGMT_TOKEN: 'a.b.c' }, 3, 'AUTH0_MGMT_TOKEN'],
    ['clear text to elsewhere', { AUTH0_DOMAIN: 'http://example.com' }, 2, 'AUTH0_DOMAIN'],
  ])('%s is told with what to do', async (_what, change, code, text) => {
    const env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator, POSTERN_SELF_AUDIENCE: SELF_AUDIENCE };
    const ran = await postern(['owners', 'sync'], {
      env: { ...env, AUTH0_DOMAIN: house.auth0.issuer, AUTH0_MGMT_TOKEN: management, ...change },
    });
    expect([ran.code, ran.stderr]).toEqual([code, expect.stringContaining(text)]);
  });

  test('an auditor may look, and end nothing', async () => {
    join_('auth0|audited');
    const { key } = await issue('auth0|audited');
    await manage(house.auth0, management, 'PATCH', user('auth0|audited'), { blocked: true });
    const before = operator;
    try {
      operator = await vaultToken(house, 'postern-auditor', { display_name: 'adam' });
      expect((await sync('acme', '--dry-run', '--json')).json['gone']).toMatchObject([{ owner: 'auth0|audited' }]);
      expect((await sync('acme')).code).toBe(3);
    } finally {
      operator = before;
    }
    expect(await verify(key)).toBe(200);
  });
});

describe('a key that an operator issues to a person', () => {
  // With the first access token for it, Auth0's stand-in has the API that stands for self-service.
  beforeAll(async () => void (await personToken(house, 'auth0|asked', { organization: ACME, permissions: [] })));
  const ask = (id: string, scope: string, change: Record<string, string | undefined> = {}): Promise<Ran> =>
    postern(['key', 'issue', 'acme', '--owner', id, '--scope', scope, '--json'], {
      env: {
        VAULT_ADDR: house.vault.address,
        VAULT_TOKEN: operator,
        POSTERN_SELF_AUDIENCE: SELF_AUDIENCE,
        AUTH0_DOMAIN: house.auth0.issuer,
        AUTH0_MGMT_TOKEN: management,
        ...change,
      },
    });
  const keysOf = async (id: string): Promise<unknown[]> =>
    (await postern(['key', 'list', 'acme', '--owner', id, '--json'], { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator } }))
      .json['keys'];

  test.each<[string, Partial<Auth0Person> | undefined, string, number, RegExp]>([
    ['with the permission', {}, 'read:reports', 0, /^(?!.*not looked up)/s],
    ['without the permission', { permissions: { [SELF_AUDIENCE]: ['read:orders'] } }, 'read:reports', 3, /no permission read:reports/],
    ['with the permission at another API', { permissions: { other: ['read:reports'] } }, 'read:reports', 3, /no permission read:reports/],
    ['of another organization', { organizations: [GLOBEX] }, 'read:reports', 2, /not in the tenant's organization/],
    ['of none', { organizations: [] }, 'read:reports', 2, /not in the tenant's organization/],
    ['who is blocked', { blocked: true }, 'read:reports', 2, /blocked/],
    ['whom Auth0 does not know', undefined, 'read:reports', 2, /no such person/],
  ])('%s', async (what, person, scope, code, text) => {
    const id = `auth0|asked-${what.replaceAll(' ', '-')}`;
    if (person !== undefined) join_(id, person);
    const ran = await ask(id, scope);
    expect([ran.code, ran.stderr]).toEqual([code, expect.stringMatching(text)]);
    if (code === 0) {
      registerSecret('api key', String(ran.json['key']));
      expect(await verify(String(ran.json['key']))).toBe(200);
    } else expect(await keysOf(id)).toEqual([]);
  });

  test('is issued, and that nobody was asked is told, where Auth0 is not in the environment', async () => {
    const ran = await ask('auth0|unasked', 'read:reports', { AUTH0_DOMAIN: undefined });
    registerSecret('api key', String(ran.json['key']));
    expect([ran.code, ran.stderr]).toEqual([0, expect.stringContaining('was not looked up')]);
    const strange = await ask('auth0|unasked', 'read:reports', { POSTERN_SELF_AUDIENCE: 'https://other.example.com' });
    expect([strange.code, strange.stderr]).toEqual([6, expect.stringContaining('no such API')]);
  });
});
