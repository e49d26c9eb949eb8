import { afterAll, beforeAll, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import { backEndToken } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { personToken } from '#test/fixture/person.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';

const ORGANIZATION = 'org_acme1';

let house: House;
let relay: Relay;
let replica: LocalReplica;
beforeAll(async () => {
  const acme = { organization: ORGANIZATION, grants: [{ api: 'reports', scopes: ['read:reports'] }], self_service: {} };
  house = await startHouse({ admin: true, self: true, tenants: { acme } });
  relay = await startRelay(house.vault.address);
  replica = await house.startReplica({ env: { VAULT_ADDR: relay.address } });
}, 180_000);
afterAll(async () => {
  await relay?.stop();
  await house?.stop();
});

test('whoever waits for a list of Vault that does not come is told so within some 10 s, also behind a colleague who does', async () => {
  const back = await backEndToken(house, Object.keys(PERMISSIONS));
  const people = await Promise.all(
    ['alice', 'bob', 'carol'].map((name) =>
      personToken(house, `auth0|${name}`, { organization: ORGANIZATION, permissions: ['read:reports'] }),
    ),
  );
  const ask = async (base: string, jwt: string, method: 'GET' | 'POST', path: string): Promise<readonly [number, boolean]> => {
    const reply = await fetch(new URL(path, base), {
      method,
      headers: { Authorization: `Bearer ${jwt}`, ...(method === 'POST' ? { 'Content-Type': 'application/json' } : {}) },
      ...(method === 'POST' ? { body: JSON.stringify({ name: 'laptop' }) } : {}),
    });
    await reply.arrayBuffer();
    return [reply.status, reply.headers.has('Retry-After')];
  };
  // All logins are remembered from here on.
  expect(await ask(replica.admin, back, 'GET', '/v1/tenants/acme')).toEqual([200, false]);
  for (const person of people) expect(await ask(replica.issuer, person, 'GET', '/self/v1/keys')).toEqual([200, false]);
  relay.hold = /^LIST /;
  const begun = performance.now();
  const answers = await Promise.all([
    ask(replica.admin, back, 'GET', '/v1/tenants'),
    ask(replica.admin, back, 'GET', '/v1/tenants/acme/keys'),
    ask(replica.issuer, people[0]!, 'GET', '/self/v1/keys'),
    ...people.map((person) => ask(replica.issuer, person, 'POST', '/self/v1/keys')),
  ]);
  expect(performance.now() - begun).toBeLessThan(15_000);
  expect(answers).toEqual(answers.map(() => [503, true]));
  relay.letGo();
  await expect.poll(() => ask(replica.issuer, people[0]!, 'POST', '/self/v1/keys')).toEqual([201, false]);
  // Nobody who gave up their turn has made a key in it after all.
  const listed = await fetch(new URL('/v1/tenants/acme/keys', replica.admin), { headers: { Authorization: `Bearer ${back}` } });
  expect(((await listed.json()) as { keys: unknown[] }).keys).toHaveLength(1);
});
