import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startReaper } from '#tools/process/reaper.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import { startRelay } from './relay.ts';
import { Watch, sidecar, tokenOf } from './sidecar.stage.ts';
import type { Sidecar } from './sidecar.stage.ts';

/*
 * Tokens that brokers keep fresh in KV though nobody asks: a Vault Agent reads them there with the tenant's own Vault token.
 */

/** Seconds. */
const LIFETIME = 8;
/** How many of them the workload looks. */
const LIFETIMES = 10;

let house: House;
let replicas: LocalReplica[];
let operator: string;
let folder: string;
let agent: Sidecar | undefined;
const reaper = startReaper();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-publishing-'));
  house = await startHouse({
    apis: { orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders'] } },
    tenants: {
      acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }], publish: ['orders'] },
      globex: { grants: [{ api: 'orders', scopes: ['read:orders'] }] },
    },
  });
  // Terraform takes no such life; Auth0 sets its tokens' own.
  const { account } = house.auth0;
  Object.assign(account, { apis: account.apis.map((api) => ({ ...api, lifetime: LIFETIME })) });
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
  replicas = [await house.startReplica(), await house.startReplica()];
}, 240_000);
afterAll(async () => {
  await agent?.stop();
  await reaper.close();
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const cli = (...args: string[]) => postern(args, { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator } });

/** What lies in KV; undefined where nothing does. */
async function inKv(tenant: string): Promise<string | undefined> {
  const found = await house.root.read(`postern-tokens/data/${tenant}/orders`);
  const token = (found?.data?.['data'] as { access_token?: string } | null | undefined)?.access_token;
  if (token !== undefined) registerSecret('access token', token);
  return token;
}

const appears = (tenant: string) => expect.poll(() => inKv(tenant), { timeout: 15_000, interval: 100 }).toBeDefined();

test('what Terraform marks is there unasked, an Agent never has an ended one, and one replica at a time asks Auth0', async () => {
  await appears('acme');
  expect(await inKv('globex')).toBeUndefined();
  const one = await sidecar({
    vault: { address: house.vault.address, folder },
    reaper,
    operator,
    name: 'kv',
    args: ['--kv', '--interval', '1s'],
  });
  agent = one;
  await one.deliver();
  await one.start();
  await expect.poll(() => tokenOf(one), { timeout: 30_000, interval: 50 }).toBeDefined();
  const watch = new Watch(one);
  const calls = house.auth0.calls.token;
  await sleep((LIFETIMES / 2) * LIFETIME * 1_000);
  // Whichever has the lease: the other goes on.
  await replicas[0]?.stop();
  await sleep((LIFETIMES / 2) * LIFETIME * 1_000);
  await watch.stop();
  const { seen, looks, ended, closest } = watch;
  console.log(
    `sidecar kv: ${seen.size} tokens of ${LIFETIME} s in ${looks} looks, ${ended} at an ended one; never less than ` +
      `${(closest / 1_000).toFixed(1)} s left`,
  );
  expect(ended).toBe(0);
  expect(seen.size).toBeGreaterThanOrEqual(LIFETIMES);
  expect(house.auth0.calls.token - calls, 'one token a turn, however many replicas').toBeLessThanOrEqual(seen.size + 1);
}, 180_000);

test('what the CLI marks is there within seconds; disabled it goes at once, enabled it comes back, unmarked it goes', async () => {
  expect((await cli('tenant', 'create', 'globex', '--update', '--publish', 'orders')).code).toBe(0);
  await appears('globex');
  expect((await cli('tenant', 'disable', 'globex')).code).toBe(0);
  expect(await inKv('globex')).toBeUndefined();
  await sleep(4_000);
  expect(await inKv('globex'), 'nobody publishes it again').toBeUndefined();
  expect((await cli('tenant', 'enable', 'globex')).code).toBe(0);
  await appears('globex');
  expect((await cli('tenant', 'create', 'globex', '--update', '--no-publish')).code).toBe(0);
  await expect.poll(() => inKv('globex'), { timeout: 10_000, interval: 100 }).toBeUndefined();
}, 60_000);

test('an API that is marked is published for whoever is granted it, once brokers are told, and no longer when the mark goes', async () => {
  expect((await cli('tenant', 'create', 'umbrella', '--grant', 'orders=read:orders')).code).toBe(0);
  expect((await cli('tenant', 'publish', 'umbrella', '--json')).json).toEqual({ published: [] });
  const configure = () => cli('agent', 'config', 'umbrella', '--kv', '--json');
  expect((await configure()).stderr).toMatch(/orders of umbrella is not published[^]*--update --publish orders/);
  const api = (await house.root.read('postern/data/apis/orders'))?.data?.['data'] as Record<string, unknown>;
  const mark = async (publish: boolean) => {
    await house.root.write('postern/data/apis/orders', { data: { ...api, publish } });
    await house.root.write('postern/data/state/catalog', { data: { digest: String(Math.random()), disabled: [] } });
  };
  await mark(true);
  const told = await cli('tenant', 'publish', '--json');
  expect(told.json['published'], told.stderr).toContainEqual({ tenant: 'umbrella', apis: ['orders'] });
  await appears('umbrella');
  expect((await configure()).stderr).not.toMatch(/not published/);
  // One that is made from now on needs nothing.
  expect((await cli('tenant', 'create', 'hooli', '--grant', 'orders=read:orders')).code).toBe(0);
  await appears('hooli');
  await mark(false);
  for (const tenant of ['umbrella', 'hooli']) await expect.poll(() => inKv(tenant), { timeout: 10_000, interval: 100 }).toBeUndefined();
  expect(await inKv('acme'), 'which is marked itself').toBeDefined();
  expect((await cli('tenant', 'publish', 'umbrella', 'hooli', '--json')).json).toEqual({ published: [] });
  expect(await house.root.read('postern/data/publications/hooli')).toBeUndefined();
  expect((await cli('tenant', 'publish', 'nobody')).code).toBe(4);
}, 60_000);

test('a deleted tenant leaves nothing that anybody publishes', async () => {
  expect((await cli('tenant', 'create', 'initech', '--grant', 'orders=read:orders', '--publish', 'orders')).code).toBe(0);
  await appears('initech');
  expect((await cli('tenant', 'delete', 'initech', '--yes')).code).toBe(0);
  expect(await inKv('initech')).toBeUndefined();
  expect(await house.root.read('postern/data/publications/initech')).toBeUndefined();
  await sleep(3_000);
  expect(await inKv('initech')).toBeUndefined();
  const refused = await cli('tenant', 'create', 'globex', '--update', '--publish', 'payroll');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/no grant for what is to be published: payroll/);
}, 60_000);

test.each([
  [403, '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'],
  [429, '{"errors":["request path \\"postern-tokens/data/acme/orders\\": rate limit quota exceeded"]}'],
  [500, '{"errors":["1 error occurred:\\n\\t* no space left on device\\n\\n"]}'],
])(
  'where Vault answers each write of a token %i no token of Auth0 is spent, /readyz tells, and the process ends in time',
  async (status, body) => {
    await replicas[1]?.stop();
    const relay = await startRelay(house.vault.address);
    relay.answer = {
      match: /^(POST|PUT) \/v1\/postern-tokens\/data\//,
      says: `HTTP/1.1 ${status} X\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    };
    const calls = house.auth0.calls.token;
    const replica = await house.startReplica({ env: { VAULT_ADDR: relay.address } });
    replicas[1] = replica;
    const ready = async (): Promise<unknown> => (await fetch(new URL('readyz', replica.issuer))).json();
    await expect
      .poll(ready, { timeout: 15_000, interval: 200 })
      .toMatchObject({ warnings: [expect.stringMatching(/^published tokens: \d+ could not be put/)] });
    await sleep(7_000);
    expect(house.auth0.calls.token).toBe(calls);
    relay.answer = undefined;
    await expect.poll(() => house.auth0.calls.token, { timeout: 25_000, interval: 200 }).toBeGreaterThan(calls);
    await appears('acme');
    // A list that Vault doesn't answer keeps nobody waiting.
    relay.hold = /^LIST \/v1\/postern\/metadata\/publications/;
    const held = relay.held();
    await house.root.write('postern/data/state/catalog', { data: { digest: String(Math.random()), disabled: [] } });
    await held;
    const begun = performance.now();
    await replica.stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
    await relay.stop();
  },
  90_000,
);
