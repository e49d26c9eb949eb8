import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issuedKey } from '#dev/auth0.ts';
import { freePort } from '#dev/port.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';
import { postern } from './cli-run.ts';

/** The whole of it, with the numbers of docs/numbers.md: POSTERN_TEST_KILLS=50. */
const KILLS = Number(process.env['POSTERN_TEST_KILLS'] ?? 2);
const TENANTS = KILLS > 10 ? 200 : 12;
const REPLICAS = 3;
/** Exchanges that are under way at each replica. */
const WORKERS = 4;
const SCOPES = ['a', 'b', 'c', 'd', 'e'];
const API = { orders: 'https://orders.example.com', stock: 'https://stock.example.com' };

/** Each has a token of its own. */
const scopeSets = Array.from({ length: 2 ** SCOPES.length - 1 }, (_, n) => SCOPES.filter((_scope, at) => ((n + 1) >> at) & 1).join(' '));
const tenants = Array.from({ length: TENANTS }, (_, n) => `customer-${n}`);

let house: House;
let credentials: Map<string, Credential>;
beforeAll(async () => {
  house = await startHouse({
    apis: Object.fromEntries(Object.entries(API).map(([name, audience]) => [name, { audience, source: 'auth0', scopes: SCOPES }])),
    admin: true,
    tenants: {
      capped: { grants: [{ api: 'orders', scopes: SCOPES }], quota: { monthly: 2 } },
      ...Object.fromEntries(tenants.map((tenant) => [tenant, { grants: Object.keys(API).map((api) => ({ api, scopes: SCOPES })) }])),
    },
  });
  credentials = new Map();
  for (const tenant of ['capped', ...tenants]) credentials.set(tenant, await house.issueSecret(tenant));
}, 300_000);
afterAll(() => house.stop());

/** Tenant and audience -> tokens, as it lies in Vault. */
async function ledger(): Promise<Map<string, number>> {
  const counted = new Map<string, number>();
  for (const month of await house.root.list('postern/metadata/state/quota')) {
    for (const page of await house.root.list(`postern/metadata/state/quota/${month.replace('/', '')}`)) {
      const { data } = (await house.root.read(`postern/data/state/quota/${month}${page}`)) ?? {};
      const { fetched = {} } = (data?.['data'] ?? {}) as { fetched?: Record<string, Record<keyof typeof API, number>> };
      for (const [tenant, apis] of Object.entries(fetched))
        for (const [api, count] of Object.entries(apis)) {
          const key = issuedKey(tenant, API[api as keyof typeof API]);
          counted.set(key, (counted.get(key) ?? 0) + count);
        }
    }
  }
  return counted;
}

test('a tenant over its cap: 429 that says so until the month ends; what is cached is served, and no neighbour notices', async () => {
  const port = await freePort();
  const replica = await house.startReplica({ env: { POSTERN_METRICS_LISTEN: `127.0.0.1:${port}` } });
  const ask = (tenant: string, scope: string) => exchange(replica, credentials.get(tenant)!, { audience: API.orders, scope });
  expect([(await ask('capped', 'a')).status, (await ask('capped', 'b')).status]).toEqual([200, 200]);
  const issued = house.auth0.issued.get(issuedKey('capped', API.orders));
  for (let again = 0; again < 3; again++) {
    const refused = await ask('capped', 'c');
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ error: 'too_many_requests' });
    expect(String(refused.body['error_description'])).toContain('used up its tokens of this month (2)');
    const now = new Date();
    const end = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1);
    expect(Math.abs(Number(refused.headers['retry-after']) - (end - Date.now()) / 1000)).toBeLessThan(10);
  }
  expect(house.auth0.issued.get(issuedKey('capped', API.orders))).toBe(issued);
  expect((await ask('capped', 'a')).status).toBe(200);
  expect((await ask('customer-0', 'c')).status).toBe(200);
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(metrics).toMatch(/^postern_quota_refused_total [1-9]/m);
  expect(metrics).toMatch(/^postern_quota_fetched_tokens\{api="orders"\} 3$/m);
  // Metrics and the ledger agree with what an operator sees, who gives more: the next exchange may, without waiting for a pause.
  const shown = await fetch(`${replica.admin}v1/quota?tenant=capped`, { headers: { 'X-Vault-Token': house.vault.rootToken } });
  expect(await shown.json()).toMatchObject({ tenants: [{ tenant: 'capped', fetched: 2, budget: 2, left: 0, level: 'spent' }] });
  const more = await fetch(`${replica.admin}v1/tenants/capped/quota`, {
    method: 'PUT',
    headers: { 'X-Vault-Token': house.vault.rootToken, 'Content-Type': 'application/json' },
    body: JSON.stringify({ monthly: 3 }),
  });
  expect(more.status).toBe(200);
  await expect.poll(async () => (await ask('capped', 'c')).status, { interval: 100 }).toBe(200);
  expect((await ask('capped', 'd')).status).toBe(429);
  await replica.stop();
}, 60_000);

test('by the CLI: a cap as tokens and as a share, and what was used', async () => {
  const run = (...args: string[]) => postern(args, { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: house.vault.rootToken } });
  const grant = ['--grant', 'orders=a'];
  expect((await run('tenant', 'create', 'initech', ...grant, '--quota', '500', '--json')).json['quota']).toEqual({ monthly: 500 });
  expect((await run('tenant', 'create', 'initech', '--update', '--quota', '5%', '--json')).json['quota']).toEqual({ share: 0.05 });
  expect((await run('tenant', 'create', 'initech', '--update', '--claim', 'https://example.com/x=y', '--json')).json['quota']).toBeTruthy();
  expect((await run('tenant', 'create', 'initech', '--update', '--no-quota', '--json')).json['quota']).toBeNull();
  for (const wrong of ['x', '-1', '0%', '101%', '5.5', '1e3'])
    expect(await run('tenant', 'create', 'initech', '--update', '--quota', wrong)).toMatchObject({ code: 2 });
  const { json } = await run('quota', '--all', '--json');
  expect(json['tenants']).toEqual(expect.arrayContaining([expect.objectContaining({ tenant: 'capped', fetched: 3, budget: 3 })]));
  expect((await run('quota', 'capped')).stdout).toMatch(/^capped\t3\t3\t█{19}!\t/);
  expect(await run('quota', '--month', '2026-13')).toMatchObject({ code: 2 });
  expect((await run('quota', 'acme', '--month', '2025-10', '--json')).json['tenants']).toMatchObject([{ fetched: 0 }]);
});

const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((all, one) => all + one, 0);

test(
  `${REPLICAS} replicas, ${TENANTS} tenants, ${KILLS} times kill -9 at a random moment: no token is lost, and those on their way count`,
  { timeout: 60_000 + KILLS * 20_000 },
  async () => {
    const replicas = await Promise.all(Array.from({ length: REPLICAS }, () => house.startReplicaProcess()));
    const wanted = tenants.flatMap((tenant) =>
      Object.values(API).flatMap((audience) => scopeSets.map((scope) => ({ tenant, audience, scope }))),
    );
    // In an order of which no two replicas have the same tenants at once, again and again.
    const shuffled = wanted
      .map((one) => [Math.random(), one] as const)
      .sort(([a], [b]) => a - b)
      .map(([, one]) => one);
    let at = 0;
    let going = true;
    const load = Promise.all(
      Array.from({ length: REPLICAS * WORKERS }, async (_, worker) => {
        while (going) {
          const { tenant, audience, scope } = shuffled[at++ % shuffled.length]!;
          const reply = await exchange(replicas[worker % REPLICAS]!, credentials.get(tenant)!, { audience, scope }).catch(() => undefined);
          if (reply === undefined) await sleep(50);
          // A killed replica's lease on a token ends by its time.
          else expect([200, 503]).toContain(reply.status);
        }
      }),
    );
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(200 + Math.random() * 800);
      const victim = kill % REPLICAS;
      const port = Number(new URL(replicas[victim]!.issuer).port);
      process.kill(replicas[victim]!.child.pid, 'SIGKILL');
      await replicas[victim]!.child.ended;
      replicas[victim] = await house.startReplicaProcess({ port });
    }
    await sleep(300);
    going = false;
    await load;
    await Promise.all(replicas.map((replica: ProcessReplica) => replica.stop()));
    const [counted, issued] = [await ledger(), house.auth0.issued];
    const lost = [...issued].filter(([key, count]) => (counted.get(key) ?? 0) < count);
    expect(lost).toEqual([]);
    const more = sum(counted) - sum(issued);
    console.log(`ledger ${sum(counted)}, issued ${sum(issued)}, more ${more} after ${KILLS} kills of ${WORKERS} exchanges each`);
    expect(more).toBeLessThanOrEqual(KILLS * WORKERS);
    expect(sum(issued)).toBeGreaterThan(TENANTS);
  },
);
