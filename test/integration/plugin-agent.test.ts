import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startChild } from '#dev/child.ts';
import type { Child } from '#dev/child.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { builtPlugin } from '#test/fixture/plugin.ts';
import { findServer } from '#tools/part/server.ts';
import { ORDERS, startPluginStage, tenantOf } from './plugin-stage.ts';
import type { PluginStage } from './plugin-stage.ts';

/*
 * A customer's sidecar: a real Vault Agent that logs in by the AppRole credential that Terraform made, and keeps a fresh token
 * in a file. Auth0's tokens live for seconds here, so that some renewals pass while we look.
 */

/** Seconds. */
const LIFETIME = 10;

let stage: PluginStage;
let roleId: string;
const reaper = startReaper();
const running: Child[] = [];

beforeAll(async () => {
  const [built, started] = await Promise.all([builtPlugin('v0.1.0'), startPluginStage({ lifetime: LIFETIME })]);
  stage = started;
  const { vault } = stage;
  await vault.install(built.executable.file, 'postern-auth0-v0.1.0');
  const { outputs } = await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(vault.folder, 'terraform'),
    variables: {
      apis: { orders: { audience: ORDERS, source: 'auth0', scopes: ['read:orders'] } },
      tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
      plugin: { version: built.version, sha256: built.executable.sha256 },
    },
  });
  roleId = (outputs['tenants'] as Record<string, { role_id: string }>)['acme']?.role_id ?? '';
  await stage.configure();
}, 240_000);

afterAll(async () => {
  await Promise.all(running.map((agent) => agent.stop()));
  await reaper.close();
  await stage?.stop();
});

interface Agent {
  child: Child;
  /** Holds the token. */
  tokenFile: string;
  secretIdFile: string;
  logFile: string;
  start(): Promise<void>;
}

/** What docs/plugin.md shows. */
async function agent(name: string, removeSecretId: boolean | undefined, query = ''): Promise<Agent> {
  const { vault } = stage;
  const path = (file: string): string => join(vault.folder, `${name}-${file}`);
  const { data } = await vault.root('POST', 'auth/approle/role/acme/secret-id');
  registerSecret('secret_id', data.secret_id);
  await writeFile(path('role-id'), roleId);
  await writeFile(path('secret-id'), data.secret_id, { mode: 0o600 });
  await writeFile(
    path('agent.hcl'),
    `vault {
  address = "${vault.address}"
}
auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path   = "${path('role-id')}"
      secret_id_file_path = "${path('secret-id')}"
      ${removeSecretId === undefined ? '' : `remove_secret_id_file_after_reading = ${removeSecretId}`}
    }
  }
}
template {
  contents    = "{{ with secret \\"auth0/creds/acme${query}\\" }}{{ .Data.access_token }}{{ end }}"
  destination = "${path('token')}"
  perms       = "0600"
}
`,
  );
  const logFile = join(process.env['POSTERN_TEST_LOGS'] ?? vault.folder, `agent-${name}.log`);
  const { path: binary } = await findServer();
  const made: Agent = {
    child: undefined as unknown as Child,
    tokenFile: path('token'),
    secretIdFile: path('secret-id'),
    logFile,
    async start() {
      made.child = await startChild({
        name: 'vault agent',
        command: binary,
        args: ['agent', `-config=${path('agent.hcl')}`],
        env: { PATH: process.env['PATH'] ?? '', HOME: vault.folder, SKIP_SETCAP: '1' },
        logFile,
        reaper,
      });
      running.push(made.child);
    },
  };
  await made.start();
  return made;
}

/** The token in the file; undefined where there is none yet. */
async function tokenIn({ tokenFile }: Agent): Promise<string | undefined> {
  const text = await readFile(tokenFile, 'utf8').catch(() => '');
  if (text === '') return undefined;
  registerSecret('access token', text);
  return text;
}

const appears = (one: Agent) => expect.poll(() => tokenIn(one), { timeout: 30_000, interval: 50 }).toBeDefined();

test('a fresh token file before the old one expires, three times and more', async () => {
  const one = await agent('steady', false);
  await appears(one);
  const calls = stage.auth0.calls.token;
  const seen = new Map<string, { written: number; expires: number }>();
  let [looks, closest] = [0, Number.POSITIVE_INFINITY];
  for (const until = Date.now() + LIFETIME * 6_000; Date.now() < until && seen.size < 5; await sleep(20)) {
    const token = await tokenIn(one);
    // The file is replaced in one step: it is never empty or half.
    if (token === undefined) throw new Error('the file was empty');
    const { exp = 0 } = decodeJwt(token);
    const left = exp * 1_000 - Date.now();
    closest = Math.min(closest, left);
    looks++;
    if (!seen.has(token)) seen.set(token, { written: Date.now(), expires: exp * 1_000 });
  }
  const all = [...seen.values()];
  console.log(
    `vault agent: ${all.length - 1} renewals of a ${LIFETIME} s token in ${looks} looks; the file never ` +
      `had less than ${(closest / 1_000).toFixed(1)} s left`,
  );
  expect(all.length - 1, 'renewals').toBeGreaterThanOrEqual(3);
  expect(closest, 'ms left of the token in the file, at its worst').toBeGreaterThan(0);
  for (const [at, { written }] of all.slice(1).entries())
    expect(written, 'written before the one before ended').toBeLessThan(all[at]?.expires ?? 0);
  for (const token of seen.keys()) expect(tenantOf(token)).toBe('acme');
  // The Agent asks when it is told to: about one call to Auth0 a renewal, not one a look.
  expect(stage.auth0.calls.token - calls).toBeLessThanOrEqual(all.length + 1);
  expect((await stat(one.tokenFile)).mode & 0o777).toBe(0o600);
});

test('an Agent that names audience and scope, and keeps its secret_id file, is as good as before after a restart', async () => {
  const one = await agent('kept', false, `?audience=${ORDERS}&scope=read:orders`);
  await appears(one);
  await one.child.stop();
  await rm(one.tokenFile);
  await one.start();
  await appears(one);
  const token = await tokenIn(one);
  expect((decodeJwt(token ?? '').exp ?? 0) * 1_000).toBeGreaterThan(Date.now());
  expect(decodeJwt(token ?? '')).toMatchObject({ aud: ORDERS, scope: 'read:orders' });
  expect(await readFile(one.secretIdFile, 'utf8')).not.toBe('');
});

test("left to its default it deletes the file after reading, and a restart can't log in until a new one is there", async () => {
  const one = await agent('removed', undefined);
  await appears(one);
  await expect(stat(one.secretIdFile)).rejects.toThrow('ENOENT');
  await one.child.stop();
  await rm(one.tokenFile);
  await one.start();
  await expect.poll(() => readFile(one.logFile, 'utf8'), { timeout: 20_000 }).toMatch(/no known secret ID/);
  expect(await tokenIn(one)).toBeUndefined();
  // Whoever delivers secret_ids brings another; the waiting Agent takes it.
  const { data } = await stage.vault.root('POST', 'auth/approle/role/acme/secret-id');
  registerSecret('secret_id', data.secret_id);
  await writeFile(one.secretIdFile, data.secret_id, { mode: 0o600 });
  await appears(one);
});

test('a restart of the plugin, and of Vault, is ridden out', async () => {
  const one = await agent('outage', false);
  await appears(one);
  const [plugin] = await stage.vault.plugins();
  process.kill(plugin ?? 0, 'SIGKILL');
  await stage.vault.restart();
  const before = await tokenIn(one);
  await expect.poll(() => tokenIn(one), { timeout: 45_000, interval: 100 }).not.toBe(before);
  expect((decodeJwt((await tokenIn(one)) ?? '').exp ?? 0) * 1_000).toBeGreaterThan(Date.now());
});
