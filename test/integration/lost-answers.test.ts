import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { finishRevocations } from '#broker/operator/secret/unfinished.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { APIS } from '#dev/scenario.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import type { AdminReply } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { personToken } from '#test/fixture/person.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';

/*
 * What becomes of keys where Vault does its work and its answer is lost, or breaks off half-way. `one` reaches Vault by a relay, `two` at once.
 */

let house: House;
let relay: Relay;
let one: LocalReplica;
let two: LocalReplica;
let alice: string;
let backEnd: string;
const REPORTS = APIS['reports']!.audience;
const ORGANIZATION = 'org_acme1';
const ISSUING = /POST \/v1\/auth\/approle\/role\/acme\/secret-id$/;

beforeAll(async () => {
  const grants = [{ api: 'reports', scopes: ['read:reports'] }];
  house = await startHouse({
    admin: true,
    self: true,
    tenants: {
      acme: { organization: ORGANIZATION, grants, self_service: { keys_per_user: 50 } },
      globex: { organization: 'org_globex1', grants, self_service: { keys_per_user: 1 } },
    },
  });
  relay = await startRelay(house.vault.address);
  one = await house.startReplica({ env: { VAULT_ADDR: relay.address } });
  two = await house.startReplica();
  alice = await personToken(house, 'auth0|alice', { organization: ORGANIZATION, permissions: ['read:reports'] });
  backEnd = await backEndToken(house, Object.keys(PERMISSIONS));
}, 180_000);
afterEach(async () => {
  relay.lose = relay.answer = undefined;
  relay.letGo();
  // Whatever was left to be destroyed goes with the next key, so that no test meets another's.
  await expect.poll(async () => (await at('admin', 'POST', '', { name: 'settles' })).status, { timeout: 30_000 }).toBe(201);
  await expect.poll(async () => (await fetch(`${one.issuer}readyz`)).status, { timeout: 30_000 }).toBe(200);
}, 60_000);
afterAll(async () => {
  await relay?.stop();
  await house?.stop();
});

const verify = async (key: string, replica = two): Promise<number> => {
  const reply = await fetch(`${replica.issuer}verify?audience=${encodeURIComponent(REPORTS)}`, { headers: { 'X-API-Key': key } });
  await reply.arrayBuffer();
  return reply.status;
};
/** Both ways to an API key, as somebody who may. */
const doors = ['self', 'admin'] as const;
const at = (door: (typeof doors)[number], method: string, path = '', body?: unknown, headers: Record<string, string> = {}) =>
  door === 'self'
    ? callAdmin(one.issuer, { jwt: alice }, method, `/self/v1/keys${path}`, body, headers)
    : callAdmin(one.admin, { jwt: backEnd }, method, `/v1/tenants/acme/keys${path}`, body, headers);

describe.each(doors)('a key made by a repeated request (%s)', (door) => {
  test('is good, and the one of the attempt whose answer was lost is gone', async () => {
    const before = ((await at(door, 'GET')).body['keys'] as unknown[]).length;
    const headers = { 'Idempotency-Key': randomUUID() };
    const ask = (): Promise<AdminReply> => at(door, 'POST', '', { name: 'laptop' }, headers);
    relay.lose = ISSUING;
    expect((await ask()).status).toBe(503);
    relay.lose = undefined;
    const made = await ask();
    expect(made.status, made.text).toBe(201);
    expect((await at(door, 'GET')).body['keys']).toHaveLength(before + 1);
    // Until after every broker knows what has ended.
    await sleep(3000);
    expect([await verify(made.body['key'], one), await verify(made.body['key'])]).toEqual([200, 200]);
    expect((await ask()).body).toEqual(made.body);
  });
});

test('a key refused for want of room, and made by the same request once there is some, is good', async () => {
  const jwt = await personToken(house, 'auth0|bella', { organization: 'org_globex1', permissions: ['read:reports'] });
  const ask = (base: string, key: string): Promise<AdminReply> =>
    callAdmin(base, { jwt }, 'POST', '/self/v1/keys', { name: 'laptop' }, { 'Idempotency-Key': key });
  // Two at once, each of which counts the other's: the one at the relay is issued after both have looked.
  const key = randomUUID();
  relay.hold = /POST \/v1\/auth\/approle\/role\/globex\/secret-id$/;
  const held = relay.held();
  const first = ask(one.issuer, key);
  await held;
  const other = await ask(two.issuer, randomUUID());
  relay.letGo();
  const refused = await first;
  expect([refused.status, other.status], refused.text).toEqual([409, 201]);
  expect((await callAdmin(two.issuer, { jwt }, 'DELETE', `/self/v1/keys/${other.body['key_id']}`)).status).toBe(204);
  const made = await ask(one.issuer, key);
  expect(made.status, made.text).toBe(201);
  await sleep(3000);
  expect([await verify(made.body['key'], one), await verify(made.body['key'])]).toEqual([200, 200]);
});

const DESTRUCTION = /secret-id-accessor\/destroy/;
const FAILURE = 'HTTP/1.1 500 Said\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n{"errors":["internal error"]}';
const fail = (match: RegExp): unknown => (relay.answer = { match, says: FAILURE });
const make = async (door: (typeof doors)[number]): Promise<{ key: string; key_id: string }> => {
  const made = await at(door, 'POST', '', { name: 'laptop' });
  expect(made.status, made.text).toBe(201);
  // For the one behind the relay Vault may just be back.
  await expect.poll(() => verify(made.body['key'], one), { timeout: 10_000 }).toBe(200);
  expect(await verify(made.body['key'])).toBe(200);
  return made.body as { key: string; key_id: string };
};
const listedIds = async (door: (typeof doors)[number]): Promise<string[]> =>
  ((await at(door, 'GET', '?limit=100')).body['keys'] as { key_id: string }[]).map(({ key_id: keyId }) => keyId);

describe.each(doors)('the end that a rotation sets (%s)', (door) => {
  test('is known at each broker, also where Vault is away by then', async () => {
    const old = await make(door);
    const rotated = await at(door, 'POST', `/${old.key_id}/rotate`, { overlap: 6 });
    expect(rotated.status, rotated.text).toBe(201);
    const end = Date.parse(rotated.body['replaces_until']);
    await sleep(2500);
    expect([await verify(old.key, one), await verify(old.key)]).toEqual([200, 200]);
    relay.hold = /./;
    await sleep(end + 500 - Date.now());
    expect(await verify(old.key)).toBe(401);
    expect(await verify(old.key, one)).not.toBe(200);
  }, 40_000);

  test('without an overlap, where the old key could not be destroyed: it is refused all the same, and the answer says so', async () => {
    const old = await make(door);
    fail(DESTRUCTION);
    const rotated = await at(door, 'POST', `/${old.key_id}/rotate`, { overlap: 0 });
    expect(rotated.status, rotated.text).toBe(201);
    expect(rotated.body['warnings']).toEqual([expect.stringContaining('could not be destroyed at Vault yet')]);
    await sleep(2000);
    expect([await verify(old.key, one), await verify(old.key)]).toEqual([401, 401]);
    expect(await verify(rotated.body['key'])).toBe(200);
  }, 40_000);

  test('is finished by the repeated request, where the first one broke off after it was noted', async () => {
    const old = await make(door);
    const headers = { 'Idempotency-Key': randomUUID() };
    const ask = (): Promise<AdminReply> => at(door, 'POST', `/${old.key_id}/rotate`, { overlap: 0 }, headers);
    fail(DESTRUCTION);
    const first = ask();
    const noted = async (): Promise<boolean> => {
      const document = (await house.root.read('postern/data/keys/acme'))?.data?.['data'] as { rotations: Record<string, unknown>[] };
      return document?.rotations.some(({ key_id: keyId, until }) => keyId === old.key_id && until !== null);
    };
    await expect.poll(noted, { timeout: 10_000, interval: 20 }).toBe(true);
    fail(/secret-id-accessor\/destroy|state\/(self|idempotency)/);
    expect((await first).status).toBe(503);
    relay.answer = undefined;
    let again = await ask();
    // That it broke off could not be noted either.
    for (let waited = 0; again.status === 409 && waited < 30; waited += 1) {
      await sleep(1000);
      again = await ask();
    }
    expect([again.status, again.body['warnings']], again.text).toEqual([201, []]);
    const ids = await listedIds(door);
    expect([ids.includes(old.key_id), ids.includes(again.body['key_id'])]).toEqual([false, true]);
    await sleep(2000);
    expect([await verify(old.key), await verify(again.body['key'])]).toEqual([401, 200]);
  }, 60_000);
});

describe.each(doors)('a revocation that breaks off at the destruction (%s)', (door) => {
  test('shows the key as ended, is known for as long as the key could live, and is finished by `key prune`', async () => {
    const path = `postern/data/state/${door === 'self' ? 'departures' : 'ended'}`;
    const ending = async (keyId: string): Promise<{ at: number; until: number }> => {
      const found = (await house.root.read(path))?.data?.['data'] as { recent: { id: string; at: number; until: number }[] } | undefined;
      return found!.recent.findLast(({ id }) => id === keyId)!;
    };
    const days = ({ at: from, until }: { at: number; until: number }): number => (until - from) / 86_400;
    const gone = await make(door);
    expect((await at(door, 'DELETE', `/${gone.key_id}`)).status).toBe(204);
    expect(days(await ending(gone.key_id))).toBe(7);
    const left = await make(door);
    fail(DESTRUCTION);
    expect((await at(door, 'DELETE', `/${left.key_id}`)).status).toBe(503);
    relay.answer = undefined;
    await expect.poll(() => verify(left.key)).toBe(401);
    await expect.poll(async () => (await at(door, 'GET', `/${left.key_id}`)).body['state'], { timeout: 5000 }).toBe('ended');
    expect(days(await ending(left.key_id))).toBeGreaterThan(89);
    const client = new VaultClient({ address: house.vault.address, timeoutMs: 10_000 });
    const access = new VaultAccess({ client, token: new VaultToken(await vaultToken(house, 'postern-operator')) });
    try {
      expect(await finishRevocations(access)).toMatchObject([{ tenant: 'acme', id: left.key_id }]);
      expect(await finishRevocations(access)).toEqual([]);
    } finally {
      await client.close();
    }
    expect(days(await ending(left.key_id))).toBe(7);
    expect(await listedIds(door)).not.toContain(left.key_id);
  }, 40_000);
});

test.each([
  ['a tenant disabled', 'POST', '/v1/tenants/globex/disable', /POST \/v1\/postern\/data\/state\/epoch$/, 'admin.disableTenant'],
  ['a key revoked', 'DELETE', '', /secret-id-accessor\/destroy/, 'admin.revokeKey'],
])('%s where Vault did it and its answer is lost is no refusal in the audit', async (_what, method, path, losing, event) => {
  const target = path === '' ? `/v1/tenants/acme/keys/${(await make('admin')).key_id}` : path;
  if (path === '') fail(losing);
  else relay.lose = losing;
  expect((await callAdmin(one.admin, { jwt: backEnd }, method, target)).status).toBe(503);
  expect((await one.events()).findLast((one) => one.event === event)).toMatchObject({
    outcome: 'unknown',
    error: 'temporarily-unavailable',
  });
  relay.lose = relay.answer = undefined;
  const { body } = await callAdmin(one.admin, { jwt: backEnd }, 'GET', '/v1/changes');
  expect((body['changes'] as { event: string; outcome: string }[]).find((change) => change.event === event)?.outcome).toBe('unknown');
  expect((await callAdmin(one.admin, { jwt: backEnd }, 'POST', '/v1/tenants/nobody/disable')).status).toBe(404);
  expect((await one.events()).findLast((one) => one.event === 'admin.disableTenant')?.['outcome']).toBe('refused');
});
