import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startReaper } from '#tools/process/reaper.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { builtPlugin } from '#test/fixture/plugin.ts';
import { joinPeer } from '#test/fixture/raft-peer.ts';
import { ORDERS, REPORTS, startPluginStage, tenantOf } from './plugin-stage.ts';
import type { PluginStage } from './plugin-stage.ts';
import { Watch, modeOf, sidecar, tokenOf, workload } from './sidecar.stage.ts';
import type { Sidecar } from './sidecar.stage.ts';

/*
 * A customer's sidecars: real Vault Agents, configured by `postern agent config`, that log in by the AppRole credential that Terraform
 * made. Auth0's tokens live for seconds here, so that ten lifetimes pass while workloads look all the time, and what happens to an Agent
 * and to Vault in a year happens in between.
 */

/** Seconds. */
const LIFETIME = 10;
/**
 * The same where a process is started with the token, since an Agent waits two seconds after the last change before it does, and where one
 * has to be brought another secret_id meanwhile.
 */
const SLOW = 30;
/** How many of the former the workloads look. */
const LIFETIMES = 10;

let stage: PluginStage;
let operator: string;
const reaper = startReaper();
const running: Sidecar[] = [];

beforeAll(async () => {
  const [built, started] = await Promise.all([builtPlugin('v0.1.0'), startPluginStage({ lifetime: LIFETIME, reportsLifetime: SLOW })]);
  stage = started;
  const { vault } = stage;
  await vault.install(built.executable.file, 'postern-auth0-v0.1.0');
  await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(vault.folder, 'terraform'),
    variables: {
      apis: {
        orders: { audience: ORDERS, source: 'auth0', scopes: ['read:orders'] },
        reports: { audience: REPORTS, source: 'auth0', scopes: ['read:reports'] },
      },
      // Its Agents log in again twice and more while we look.
      tenants: {
        acme: {
          grants: [
            { api: 'orders', scopes: ['read:orders'] },
            { api: 'reports', scopes: ['read:reports'] },
          ],
          token_ttl: 30,
        },
      },
      plugin: { version: built.version, sha256: built.executable.sha256 },
    },
  });
  await stage.configure();
  const { auth } = await vault.root('POST', 'auth/token/create', { policies: ['postern-operator'], no_default_policy: true, ttl: '1h' });
  operator = auth.client_token;
  registerSecret('vault token', operator);
}, 240_000);

afterAll(async () => {
  await Promise.all(running.map((one) => one.stop()));
  await reaper.close();
  await stage?.stop();
});

/** As it is after its first token. */
async function started(name: string, args: readonly string[] = [], change?: (text: string) => string): Promise<Sidecar> {
  const one = await sidecar({ vault: stage.vault, reaper, operator, name, args, ...(change === undefined ? {} : { change }) });
  running.push(one);
  await one.deliver();
  await one.start();
  await expect.poll(() => tokenOf(one), { timeout: 30_000, interval: 50 }).toBeDefined();
  return one;
}

const lifeOf = ({ name }: Sidecar): number => (['wrapped', 'exec'].includes(name) ? SLOW : LIFETIME);

/** Waits for a token that has just been written, so that what happens next doesn't meet the moment in which another is due. */
async function renewed({ seen }: Watch): Promise<void> {
  const before = seen.size;
  await expect.poll(() => seen.size, { timeout: 30_000, interval: 25 }).toBeGreaterThan(before);
}

test('no workload sees an ended token in ten lifetimes, whatever happens to its Agent, its secret_id, the plugin and Vault', async () => {
  const sidecars = await Promise.all([
    started('kept'),
    started('query', ['--api', 'orders']),
    started('wrapped', ['--api', 'reports', '--wrapped']),
    started('exec', ['--api', 'reports', '--', ...(await workload(stage.vault.folder))]),
  ]);
  const calls = stage.auth0.calls.token;
  const begun = Date.now();
  const watches = sidecars.map((one) => new Watch(one));
  const [kept, query, wrapped, exec] = watches as [Watch, Watch, Watch, Watch];

  expect(await modeOf(kept.sidecar.tokenFile)).toBe(0o600);
  expect(decodeJwt((await tokenOf(query.sidecar)) ?? '')).toMatchObject({ aud: ORDERS, scope: 'read:orders' });

  const accessors = await stage.vault.root('LIST', 'auth/approle/role/acme/secret-id');

  // Agents restart; the one whose secret_id file is gone is brought another.
  await renewed(kept);
  await kept.sidecar.restart();
  await exec.sidecar.restart();
  await expect(stat(wrapped.sidecar.secretIdFile)).rejects.toThrow('ENOENT');
  await renewed(wrapped);
  await wrapped.sidecar.restart();
  await expect.poll(() => readFile(wrapped.sidecar.logFile, 'utf8'), { timeout: 20_000 }).toMatch(/no known secret ID/);
  await wrapped.sidecar.deliver();

  // A secret_id is rotated: another is written into the file, and the one before revoked once the Agent has logged in with it.
  await Promise.all([kept, query, exec].map(({ sidecar: one }) => one.deliver()));
  const rotated = Date.now();

  await renewed(query);
  const [plugin] = await stage.vault.plugins();
  process.kill(plugin ?? 0, 'SIGKILL');
  await renewed(query);
  await stage.vault.restart();

  await sleep(Math.max(0, rotated + 32_000 - Date.now()));
  for (const accessor of accessors.data.keys as string[])
    await stage.vault.root('POST', 'auth/approle/role/acme/secret-id-accessor/destroy', { secret_id_accessor: accessor });
  await sleep(Math.max(0, begun + LIFETIMES * LIFETIME * 1_000 - Date.now()));
  await Promise.all(watches.map((watch) => watch.stop()));

  for (const { sidecar: one, seen, looks, ended, missing, absent, closest } of watches) {
    console.log(
      `sidecar ${one.name}: ${seen.size} tokens of ${lifeOf(one)} s in ${looks} looks, ${ended} at an ended one; never less than ` +
        `${(closest / 1_000).toFixed(1)} s left${one.supervised ? `; ${absent} looks while it was not running` : ''}`,
    );
    expect(ended, `${one.name}: ended tokens`).toBe(0);
    // The file is replaced in one step.
    expect(missing, one.name).toBe(0);
    expect(seen.size, `${one.name}: tokens`).toBeGreaterThanOrEqual(Math.floor((LIFETIMES * LIFETIME) / lifeOf(one)));
    for (const token of seen.keys()) expect(tenantOf(token)).toBe('acme');
  }
  // Agents ask when they are told to: about one call to Auth0 a renewal, not one a look. Those to the restarted ones come on top.
  const all = new Set(watches.flatMap(({ seen }) => [...seen.keys()]));
  expect(stage.auth0.calls.token - calls).toBeLessThanOrEqual(all.size + 3);
}, 240_000);

// Longer lives than above: a node that takes the lead starts the plugin first.
test('the lead goes to another node and comes back: the Agent goes on asking the one that it knows, and no token ends', async () => {
  await stage.vault.restart();
  const watch = new Watch(await started('lead', ['--api', 'reports']));
  {
    await using peer = await joinPeer(stage.vault);
    await renewed(watch);
    expect(await peer.stepDown()).toBe(peer.address);
    await renewed(watch);
    expect(await peer.stepDown()).toBe(stage.vault.address);
    await renewed(watch);
  }
  await watch.stop();
  const { seen, looks, ended, closest } = watch;
  console.log(
    `sidecar lead: ${seen.size} tokens of ${SLOW} s in ${looks} looks, ${ended} at an ended one; never less than ` +
      `${(closest / 1_000).toFixed(1)} s left`,
  );
  expect(ended).toBe(0);
}, 240_000);

test("left to its own default an Agent deletes the file after reading, and a restart can't log in until a new one is there", async () => {
  const one = await started('removed', [], (text) => text.replace(/ +remove_secret_id_file_after_reading = false\n/, ''));
  await expect(stat(one.secretIdFile)).rejects.toThrow('ENOENT');
  await one.restart();
  await expect.poll(() => readFile(one.logFile, 'utf8'), { timeout: 20_000 }).toMatch(/no known secret ID/);
  // Whoever delivers secret_ids brings another; the waiting Agent takes it.
  const before = await tokenOf(one);
  await one.deliver();
  await expect.poll(() => tokenOf(one), { timeout: 30_000 }).not.toBe(before);
});
