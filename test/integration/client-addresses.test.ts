import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, ProcessReplica, Reply } from '#test/fixture/broker.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';

/*
 * A tenant with cidrs, behind a broker that isn't told or doesn't tell where clients are: 401 for the customer, as for any wrong
 * credential, and the reason for operators, in the log and by `postern doctor`.
 */

const reports = { api: 'reports', scopes: ['read:reports'] };
const audience = 'https://reports.example.com';
let house: House;
let operator: string;

beforeAll(async () => {
  house = await startHouse({
    apis: { reports: { audience, source: 'transit', scopes: ['read:reports'] } },
    tenants: { acme: { grants: [reports], cidrs: ['203.0.113.0/24'] }, globex: { grants: [reports] } },
  });
  operator = await vaultToken(house, 'postern-operator');
});
afterAll(() => house?.stop());

interface Line {
  msg: string;
  client_id?: string;
  address?: string;
  seen_by_vault?: string;
}

const told = async (replica: ProcessReplica): Promise<Line[]> =>
  (await replica.log())
    .split('\n')
    .filter((line) => line.includes('a right credential is refused'))
    .map((line) => JSON.parse(line) as Line);

/** Without what differs from one request to the next anyhow. */
const bare = ({ status, text, headers }: Reply) => ({ status, text, headers: { ...headers, date: '', 'x-request-id': '' } });

async function doctor(url: string) {
  const ran = await postern(['doctor', '--json', '--url', url], { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator } });
  return ran.json['checks'] as { name: string; status: string; seen: string; remedy: string }[];
}

test('not told to Vault: the log says so once a tenant, doctor by tenant, and the customer nothing', async () => {
  const replica = await house.startReplicaProcess();
  const wrong = await exchange(replica, { client_id: house.roleIds['acme']!, client_secret: crypto.randomUUID() }, { audience });
  expect(await told(replica)).toEqual([]);
  for (let i = 0; i < 3; i += 1) {
    const reply = await exchange(replica, await house.issueSecret('acme'), { audience });
    expect(bare(reply)).toEqual(bare(wrong));
    expect(reply.status).toBe(401);
  }
  expect((await exchange(replica, await house.issueSecret('globex'), { audience })).status).toBe(200);
  await expect.poll(() => told(replica), { timeout: 10_000 }).not.toEqual([]);
  expect(await told(replica)).toEqual([
    expect.objectContaining({
      client_id: house.roleIds['acme'],
      address: '127.0.0.1',
      msg: expect.stringContaining('set POSTERN_FORWARD_CLIENT_ADDRESS=true') as string,
    }),
  ]);

  const checks = await doctor(replica.issuer);
  expect(checks.find(({ name }) => name === 'tenant: acme: cidrs')).toMatchObject({
    status: 'warning',
    seen: expect.stringMatching(/203\.0\.113\.0\/24.*broker's own address.*401/) as string,
    remedy: expect.stringContaining('POSTERN_FORWARD_CLIENT_ADDRESS=true') as string,
  });
  expect(checks.some(({ name }) => name.startsWith('tenant: globex'))).toBe(false);
  await replica.stop();
});

test('told to a Vault that does not believe it, and behind a proxy that the broker does not believe', async () => {
  const replica = await house.startReplicaProcess({ env: { POSTERN_FORWARD_CLIENT_ADDRESS: 'true' } });
  const inside = { headers: { 'X-Forwarded-For': '203.0.113.7' } };
  expect((await exchange(replica, await house.issueSecret('acme'), { audience }, inside)).status).toBe(401);
  await expect.poll(() => told(replica), { timeout: 10_000 }).not.toEqual([]);
  // A dev Vault in a container sees the bridge's address, and one on this machine the very address that was forwarded.
  const [line] = await told(replica);
  expect(line?.msg).toMatch(line?.seen_by_vault === '127.0.0.1' ? /POSTERN_TRUSTED_PROXIES/ : /x_forwarded_for_authorized_addrs/);

  // What an nginx in front does.
  const proxy = createServer((client, answer) => {
    const passed = request(new URL(client.url ?? '/', replica.issuer), { headers: { 'X-Forwarded-For': '203.0.113.7' } }, (reply) => {
      answer.writeHead(reply.statusCode ?? 500, reply.headers);
      reply.pipe(answer);
    });
    passed.end();
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  try {
    const checks = await doctor(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`);
    expect(checks.find(({ name }) => name === 'broker: client addresses')).toMatchObject({
      status: 'warning',
      remedy: 'Name the proxy in POSTERN_TRUSTED_PROXIES.',
    });
    expect(checks.find(({ name }) => name === 'tenant: acme: cidrs')).toMatchObject({
      status: 'warning',
      seen: expect.stringContaining("the proxy's address") as string,
    });
  } finally {
    proxy.close();
  }
  const checks = await doctor(replica.issuer);
  expect(checks.find(({ name }) => name === 'broker: client addresses')).toMatchObject({
    status: 'ok',
    seen: 'told to Vault; 1 tenant with cidrs',
  });
  await replica.stop();
});
