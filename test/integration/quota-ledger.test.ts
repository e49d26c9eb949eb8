import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issuedKey } from '#dev/auth0.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';

/** The whole of it, with the numbers of docs/numbers.md: POSTERN_TEST_KILLS=50. */
const KILLS = Number(process.env['POSTERN_TEST_KILLS'] ?? 3);
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
    tenants: Object.fromEntries(tenants.map((tenant) => [tenant, { grants: Object.keys(API).map((api) => ({ api, scopes: SCOPES })) }])),
  });
  credentials = new Map();
  for (const tenant of tenants) credentials.set(tenant, await house.issueSecret(tenant));
}, 300_000);
afterAll(() => house.stop());

/** Tenant and audience -> tokens, as it lies in Vault. */
async function ledger(): Promise<Map<string, number>> {
  const counted = new Map<string, number>();
  for (const month of await house.root.list('postern/metadata/state/quota')) {
    for (const page of await house.root.list(`postern/metadata/state/quota/${month.replace('/', '')}`)) {
      const { data } = (await house.root.read(`postern/data/state/quota/${month}${page}`)) ?? {};
      const { fetched } = data?.['data'] as { fetched: Record<string, Record<keyof typeof API, number>> };
      for (const [tenant, apis] of Object.entries(fetched))
        for (const [api, count] of Object.entries(apis)) {
          const key = issuedKey(tenant, API[api as keyof typeof API]);
          counted.set(key, (counted.get(key) ?? 0) + count);
        }
    }
  }
  return counted;
}

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
