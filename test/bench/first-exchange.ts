import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { startBrokerProcess } from '#dev/broker.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { VaultDirect } from './vault-direct.ts';

const WARM_UP = 600;
const MEASURED = 400;

export interface FirstExchange {
  /** p50, ms. */
  exchange: number;
  raw: number;
  ratio: number;
  measured: number;
}

/**
 * The first exchange of a credential that a replica has not seen, whose token lies in Vault but not
 * in the replica's memory, beside a raw AppRole login and one KV read: turn by turn, one at a time,
 * by the same HTTP client. Each is a tenant of its own, since a replica's memory would have the
 * token of one that came before.
 */
export async function measureFirstExchange(stack: Stack): Promise<FirstExchange> {
  const root = { token: stack.vault.rootToken };
  const api = APIS.reports;
  const tenants = Array.from({ length: WARM_UP + MEASURED }, (_, i) => `bench-${i}`);
  const credentials = new Map<string, { roleId: string; warm: string; unseen: string; raw: string }>();
  for (const tenant of tenants) {
    const role = `auth/approle/role/${tenant}`;
    await stack.client.write(
      role,
      { token_type: 'batch', token_policies: ['postern-tenant'], token_ttl: '300s', token_no_default_policy: true },
      root,
    );
    await stack.client.write(`postern/data/tenants/${tenant}`, { data: { grants: [{ api: 'reports', scopes: api.scopes }] } }, root);
    const roleId = (await stack.client.read(`${role}/role-id`, root))?.data?.['role_id'] as string;
    const secret = async () =>
      noteSecret('secret_id', (await stack.client.write(`${role}/secret-id`, {}, root)).data?.['secret_id'] as string);
    credentials.set(tenant, { roleId, warm: await secret(), unseen: await secret(), raw: await secret() });
  }
  const exchange = async (pool: Pool, clientId: string, clientSecret: string): Promise<void> => {
    const reply = await pool.request({
      method: 'POST',
      path: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: clientSecret,
        audience: api.audience,
      }).toString(),
    });
    const body = (await reply.body.json()) as { access_token?: string };
    if (reply.statusCode !== 200 || !body.access_token) throw new Error(`the exchange was answered ${reply.statusCode}`);
  };

  // The replica that was there before fills Vault's cache.
  const before = new Pool(stack.broker.issuer, { connections: 8 });
  for (const [, { roleId, warm }] of credentials) await exchange(before, roleId, warm);
  await before.close();

  await using undo = new AsyncDisposableStack();
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const wrapped = await stack.client.write('auth/approle-broker/role/broker/secret-id', {}, { ...root, wrapTtl: 120 });
  const file = join(stack.files.folder, 'bench-wrapped-secret-id');
  await writeFile(file, noteSecret('wrapping token', String(wrapped.wrap_info?.['token'])), { mode: 0o600 });
  const auditFile = join(stack.files.folder, 'bench-audit.log');
  const { data } = (await stack.client.read('auth/approle-broker/role/broker/role-id', root)) ?? {};
  const fresh = await startBrokerProcess({
    vaultAddress: stack.vault.address,
    roleId: data?.['role_id'] as string,
    wrappedSecretIdFile: file,
    auth0Issuer: stack.auth0.issuer,
    binding: 'action',
    logFile: join(stack.files.folder, 'bench-broker.log'),
    logLevel: 'info',
    reaper,
    // One fleet has one issuer: under another one the tokens in the cache would be somebody else's.
    env: { POSTERN_ISSUER: stack.broker.issuer, POSTERN_AUDIT_FILE: auditFile },
  });
  undo.defer(() => fresh.child.stop(10_000));

  const pool = new Pool(fresh.issuer, { connections: 1 });
  undo.defer(() => pool.close());
  const direct = new VaultDirect(stack.vault.address, 1);
  undo.defer(() => direct.close());
  const took: { exchange: number[]; raw: number[] } = { exchange: [], raw: [] };
  const timed = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await work();
    into.push(performance.now() - start);
  };
  let turn = 0;
  for (const [tenant, { roleId, unseen, raw }] of credentials) {
    const steps = [
      () => timed(took.exchange, () => exchange(pool, roleId, unseen)),
      () => timed(took.raw, () => direct.loginAndRead({ roleId, secretId: raw }, `postern-tokens/data/${tenant}/reports`)),
    ];
    if (turn++ % 2) steps.reverse();
    for (const step of steps) await step();
  }
  await sleep(500);
  const elsewhere = (await readFile(auditFile, 'utf8')).split('\n').filter((line) => line !== '' && !line.includes('"source":"store"'));
  if (elsewhere.length > 0) throw new Error(`${elsewhere.length} tokens did not come from Vault's cache: ${elsewhere[0]}`);
  const [exchangeP50, rawP50] = [median(took.exchange.slice(WARM_UP)), median(took.raw.slice(WARM_UP))];
  return { exchange: exchangeP50, raw: rawP50, ratio: exchangeP50 / rawP50, measured: MEASURED };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
