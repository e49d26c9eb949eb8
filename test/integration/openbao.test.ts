import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { applyTerraform, planTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startChild } from '#dev/child.ts';
import { freePort } from '#dev/port.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';
import type { PluginVault } from '#test/fixture/plugin.ts';
import { findServer } from '#tools/part/server.ts';
import { startReaper } from '#tools/process/reaper.ts';

/* What is OpenBao's own. On Raft, as in production: there a new KV mount refuses to be written to for a while. */

it('OpenBao is known by its health, Terraform says what to do about the audit device, and applies at the first try', async () => {
  await using openbao = await startPluginVault();
  const client = new VaultClient({ address: openbao.address });
  expect(await client.health()).toMatchObject({ product: 'OpenBao', sealed: false });
  await client.close();

  const vaultToken = await terraformToken(openbao);
  const terraform = (audit: object | null) => ({
    vaultAddress: openbao.address,
    vaultToken,
    variables: {
      apis: { orders: { audience: 'https://orders.example.com', source: 'transit', scopes: ['read:orders'] } },
      tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
      audit,
    },
    stateDirectory: join(openbao.folder, 'terraform'),
  });
  await expect(applyTerraform(terraform({}))).rejects.toThrow(/This is OpenBao[\s\S]*Set audit\s+= null/);
  await expect(applyTerraform(terraform(null))).resolves.toMatchObject({ outputs: { tenants: { acme: {} } } });
  expect(await planTerraform(terraform(null))).toMatchObject({ changes: false });
});

/** A further node of a cluster, which it has joined, and reads from its own storage. */
async function startStandby(leader: PluginVault, name: string) {
  const reaper = startReaper();
  const [port, clusterPort] = [await freePort(), await freePort()];
  const folder = join(leader.folder, name);
  await mkdir(join(folder, 'storage'), { recursive: true });
  const file = join(folder, 'server.hcl');
  await writeFile(
    file,
    `storage "raft" {
  path = "${folder}/storage"
  node_id = "${name}"
  performance_multiplier = 1
  retry_join {
    leader_api_addr = "${leader.address}"
  }
}
listener "tcp" {
  address = "127.0.0.1:${port}"
  cluster_address = "127.0.0.1:${clusterPort}"
  tls_disable = true
}
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "https://127.0.0.1:${clusterPort}"
`,
  );
  const child = await startChild({
    name,
    command: (await findServer()).path,
    args: ['server', `-config=${file}`],
    env: { HOME: folder, TMPDIR: folder },
    logFile: join(folder, 'server.log'),
    reaper,
  });
  const address = `http://127.0.0.1:${port}`;
  const client = new VaultClient({ address });
  const unsealed = async () => {
    const { initialized, sealed } = await client.health();
    if (initialized && sealed) await client.write('sys/unseal', { key: leader.unsealKey });
    return sealed;
  };
  await expect.poll(() => unsealed().catch(() => true), { timeout: 60_000, interval: 500 }).toBe(false);
  const stop = async () => {
    await client.close();
    await child.stop();
    await reaper.close();
  };
  return { address, pid: child.pid, [Symbol.asyncDispose]: stop };
}

it('a standby that is behind is not believed: what the active node has is read there, too', { timeout: 180_000 }, async () => {
  await using leader = await startPluginVault();
  await using standby = await startStandby(leader, 'two');
  await using _third = await startStandby(leader, 'three');
  const token = leader.rootToken;
  await leader.root('POST', 'sys/mounts/kv', { type: 'kv', options: { version: '2' } });
  const client = new VaultClient({ address: standby.address });
  const write = (n: number) => leader.call('POST', 'kv/data/grants', { data: { n } });
  await expect.poll(async () => (await write(0)).status, { timeout: 30_000 }).toBe(200);
  const plainly = async () => {
    const response = await fetch(`${standby.address}/v1/kv/data/grants`, { headers: { 'X-Vault-Token': token } });
    return ((await response.json()) as { data?: { data?: { n: number } } }).data?.data?.n;
  };
  await expect.poll(plainly, { timeout: 30_000 }).toBe(0);
  // As a broker's login does, which is a write.
  await client.write('auth/token/create', { policies: ['default'], ttl: '5m' }, { token });
  const seen: unknown[] = [];
  let behind = 0;
  for (let n = 1; n <= 10; n++) {
    process.kill(standby.pid, 'SIGSTOP');
    // Asked while it stands still, both at once: what it has by itself, and what a broker is told.
    const asking = await (async () => {
      try {
        expect((await write(n)).status).toBe(200);
        const both = Promise.all([plainly(), client.read('kv/data/grants', { token, attempts: 1 })]);
        await sleep(50);
        return { both };
      } finally {
        process.kill(standby.pid, 'SIGCONT');
      }
    })();
    const [own, told] = await asking.both;
    if (own !== n) behind++;
    seen.push((told?.data?.['data'] as { n?: unknown } | undefined)?.n);
  }
  await client.close();
  expect(behind).toBeGreaterThan(0);
  expect(seen).toEqual(Array.from({ length: 10 }, (_, n) => n + 1));
});
