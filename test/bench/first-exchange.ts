import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { startBrokerProcess } from '#dev/broker.ts';
import type { BrokerProcess } from '#dev/broker.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { brokerCredential } from './broker-credential.ts';
import { startServer } from './child.ts';
import { cpuTime } from './cpu.ts';
import type { CpuTime } from './cpu.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';
import { VaultDirect } from './vault-direct.ts';

const WARM_UP = 300;
const MEASURED = 300;
const API = APIS.reports;

interface Credentials {
  readonly tenant: string;
  readonly roleId: string;
  /** A new secret_id. */
  readonly secret: () => Promise<string>;
}

/**
 * The first exchange of a credential that a replica has not seen, whose token lies in Vault but not
 * in the replica's memory, beside a raw AppRole login and one KV read: turn by turn, one at a time,
 * by the same HTTP client. Each is a tenant of its own, since a replica's memory would have the
 * token of one that came before. Once without a network to Vault, once with one of a millisecond.
 */
export async function measureFirstExchange(stack: Stack, report: (line: string) => void): Promise<Line[]> {
  report('first exchanges: making their tenants');
  const tenants: Credentials[] = [];
  for (let at = 0; at < WARM_UP + MEASURED; at++) tenants.push(await makeTenant(stack, `bench-${at}`));
  // The replica that was there before fills Vault's cache.
  const before = new Pool(stack.broker.issuer, { connections: 8 });
  for (const { roleId, secret } of tenants) await exchange(before, roleId, await secret());
  await before.close();

  report('first exchanges of unseen credentials');
  const near = await compare(stack, tenants, stack.vault.address);
  report('the same with 1 ms of network to Vault');
  const network = await startServer('./network.ts', { NETWORK_TO: new URL(stack.vault.address).host }, { pinned: false });
  const far = await compare(stack, tenants, `http://127.0.0.1:${network.port}`).finally(() => network.stop());
  const line = (what: string, goal: number, { ours, raw, cpu }: Times): Line => ({
    what,
    goal: `≤ ${goal}×`,
    measured:
      `${(ours / raw).toFixed(2)}× (${ours.toFixed(2)} ms over ${raw.toFixed(2)} ms, ${MEASURED} tenants)` +
      (cpu === undefined ? '' : `; ${cpu.toFixed(0)} µs of the broker's CPU each`),
    reached: ours / raw <= goal,
  });
  return [
    line('first exchange, token in Vault, over login + KV read, p50', 1.5, near),
    line('the same with 1 ms of network to Vault', 1.25, far),
  ];
}

async function makeTenant(stack: Stack, tenant: string): Promise<Credentials> {
  const root = { token: stack.vault.rootToken };
  const role = `auth/approle/role/${tenant}`;
  await stack.client.write(
    role,
    { token_type: 'batch', token_policies: ['postern-tenant'], token_ttl: '300s', token_no_default_policy: true },
    root,
  );
  await stack.client.write(`postern/data/tenants/${tenant}`, { data: { grants: [{ api: 'reports', scopes: API.scopes }] } }, root);
  return {
    tenant,
    roleId: (await stack.client.read(`${role}/role-id`, root))?.data?.['role_id'] as string,
    secret: async () => noteSecret('secret_id', (await stack.client.write(`${role}/secret-id`, {}, root)).data?.['secret_id'] as string),
  };
}

async function exchange(pool: Pool, clientId: string, clientSecret: string): Promise<void> {
  const reply = await pool.request({
    method: 'POST',
    path: '/oauth/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: clientSecret,
      audience: API.audience,
    }).toString(),
  });
  const body = (await reply.body.json()) as { access_token?: string };
  if (reply.statusCode !== 200 || !body.access_token) throw new Error(`the exchange was answered ${reply.statusCode}`);
}

interface Times {
  /** p50, ms. */
  ours: number;
  raw: number;
  /** Of the broker, µs an exchange. */
  cpu: number | undefined;
}

/** A replica that knows nothing, beside whoever asks Vault itself; both at this address. */
async function compare(stack: Stack, tenants: readonly Credentials[], vaultAddress: string): Promise<Times> {
  await using undo = new AsyncDisposableStack();
  const auditFile = join(stack.files.folder, `bench-audit-${new URL(vaultAddress).port}.log`);
  const { issuer, child } = await startReplica(stack, vaultAddress, auditFile, undo);
  const pool = undo.adopt(new Pool(issuer, { connections: 1 }), (one) => one.close());
  const direct = undo.adopt(new VaultDirect(vaultAddress, 1), (one) => one.close());
  const took = { ours: [] as number[], raw: [] as number[] };
  const timed = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await work();
    into.push(performance.now() - start);
  };
  let used: CpuTime | undefined;
  for (const [turn, { tenant, roleId, secret }] of tenants.entries()) {
    const [unseen, raw] = [await secret(), await secret()];
    if (turn === WARM_UP) used = await cpuTime([child.pid]);
    const steps = [
      () => timed(took.ours, () => exchange(pool, roleId, unseen)),
      () => timed(took.raw, () => direct.loginAndRead({ roleId, secretId: raw }, `postern-tokens/data/${tenant}/reports`)),
    ];
    if (turn % 2) steps.reverse();
    for (const step of steps) await step();
  }
  const after = await cpuTime([child.pid]);
  await sleep(500);
  const elsewhere = (await readFile(auditFile, 'utf8')).split('\n').filter((line) => line !== '' && !line.includes('"source":"store"'));
  if (elsewhere.length > 0) throw new Error(`${elsewhere.length} tokens did not come from Vault's cache: ${elsewhere[0]}`);
  return {
    ours: median(took.ours.slice(WARM_UP)),
    raw: median(took.raw.slice(WARM_UP)),
    cpu: used === undefined || after === undefined ? undefined : (after.all - used.all) / MEASURED,
  };
}

async function startReplica(stack: Stack, vaultAddress: string, auditFile: string, undo: AsyncDisposableStack): Promise<BrokerProcess> {
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const fresh = await startBrokerProcess({
    ...(await brokerCredential(stack, stack.files.folder, 'bench-wrapped-secret-id')),
    vaultAddress,
    auth0Issuer: stack.auth0.issuer,
    binding: 'action',
    logFile: join(stack.files.folder, 'bench-broker.log'),
    logLevel: 'info',
    reaper,
    // One fleet has one issuer: under another one the tokens in the cache would be somebody else's.
    env: { POSTERN_ISSUER: stack.broker.issuer, POSTERN_AUDIT_FILE: auditFile },
  });
  undo.defer(() => fresh.child.stop(10_000));
  return fresh;
}
