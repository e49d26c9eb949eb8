import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyTerraform, destroyTerraform, planTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import type { TerraformOptions } from '#dev/terraform.ts';
import { builtPlugin } from '#test/fixture/plugin.ts';
import type { BuiltPlugin } from '#test/fixture/plugin.ts';
import { startPluginStage } from './plugin-stage.ts';
import type { PluginStage } from './plugin-stage.ts';

/*
 * The plugin by `terraform apply`: not there, mounted, unchanged, upgraded, upgraded by hand and brought back, removed. Each
 * test begins where the one before it ended.
 */

let stage: PluginStage;
/** Terraform's, by where the plugin is mounted. */
const tokens: Record<string, string> = {};
let versions: Record<'first' | 'second', BuiltPlugin>;

beforeAll(async () => {
  const [first, second, started] = await Promise.all([builtPlugin('v0.1.0'), builtPlugin('v0.2.0'), startPluginStage()]);
  stage = started;
  versions = { first, second };
  tokens['auth0'] = await terraformToken(stage.vault);
  for (const { version, executable } of [first, second]) await stage.vault.install(executable.file, `postern-auth0-${version}`);
}, 240_000);
afterAll(() => stage?.stop());

const grant = { api: 'orders', scopes: ['read:orders'] };
/** Of the two doors one list: the API that Vault signs for isn't the plugin's. */
const catalogue = {
  apis: {
    orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['write:orders', 'read:orders'] },
    reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports'] },
  },
  tenants: {
    acme: { grants: [grant, { api: 'reports', scopes: ['read:reports'] }], default_api: 'reports' },
    globex: { grants: [grant], default_api: 'orders', claims: { 'https://postern.dev/plan': 'gold' }, disabled: true },
  },
};

function terraform(
  version: keyof typeof versions | undefined,
  mounts: Record<string, string> = {},
  more: Record<string, unknown> = {},
): TerraformOptions {
  const { vault } = stage;
  const plugin =
    version === undefined ? {} : { plugin: { version: versions[version].version, sha256: versions[version].executable.sha256 } };
  return {
    vaultAddress: vault.address,
    vaultToken: tokens[mounts['plugin'] ?? 'auth0'] ?? '',
    stateDirectory: join(vault.folder, 'terraform'),
    variables: { ...plugin, mounts, ...more },
  };
}

const mounts = async () => (await stage.vault.root('GET', 'sys/mounts'))['data'] as Record<string, any>;

test('nothing of it where it is not asked for', async () => {
  await applyTerraform(terraform(undefined));
  expect(await mounts()).not.toHaveProperty('auth0/');
  expect((await stage.vault.call('GET', 'sys/plugins/catalog/secret/postern-auth0?version=v0.1.0')).status).toBe(404);
});

test('registered, mounted, pinned and seal-wrapped; a second plan has nothing to do', async () => {
  await applyTerraform(terraform('first'));
  expect((await mounts())['auth0/']).toMatchObject({
    type: 'postern-auth0',
    seal_wrap: true,
    plugin_version: 'v0.1.0',
    running_plugin_version: 'v0.1.0',
    running_sha256: versions.first.executable.sha256,
  });
  const plan = await planTerraform(terraform('first'));
  expect(plan.changes, plan.text).toBe(false);
  await stage.configure();
  await stage.token('acme');
});

test('another version upgrades in place: storage and tokens are kept', async () => {
  const before = await mounts();
  const [token, calls] = [await stage.token('acme'), stage.auth0.calls.token];
  await applyTerraform(terraform('second'));
  expect((await mounts())['auth0/']).toMatchObject({
    uuid: before['auth0/'].uuid,
    plugin_version: 'v0.2.0',
    running_plugin_version: 'v0.2.0',
    running_sha256: versions.second.executable.sha256,
  });
  expect(await stage.token('acme')).toBe(token);
  expect(stage.auth0.calls.token).toBe(calls);
  const plan = await planTerraform(terraform('second'));
  expect(plan.changes, plan.text).toBe(false);
});

test('a mount that was brought to another version by hand is seen, and put right', async () => {
  await stage.vault.root('POST', 'sys/mounts/auth0/tune', { plugin_version: 'v0.1.0' });
  await stage.vault.root('POST', 'sys/plugins/reload/backend', { mounts: ['auth0/'] });
  expect((await mounts())['auth0/']).toMatchObject({ running_plugin_version: 'v0.1.0' });
  expect((await planTerraform(terraform('second'))).changes).toBe(true);
  await applyTerraform(terraform('second'));
  expect((await mounts())['auth0/']).toMatchObject({ plugin_version: 'v0.2.0', running_plugin_version: 'v0.2.0' });
  await stage.token('acme');
});

test('and back to the version before', async () => {
  await applyTerraform(terraform('first'));
  expect((await mounts())['auth0/']).toMatchObject({
    plugin_version: 'v0.1.0',
    running_plugin_version: 'v0.1.0',
    running_sha256: versions.first.executable.sha256,
  });
  await stage.token('acme');
});

test("the plugin's APIs and roles come from the same variables as the brokers' documents, and are planned once", async () => {
  const { outputs } = await applyTerraform(terraform('first', {}, catalogue));
  const { acme, globex } = outputs['tenants'] as Record<string, { role_id: string }>;
  const read = async (path: string) => (await stage.vault.root('GET', `auth0/${path}`))['data'] as unknown;
  expect(await read('apis/orders')).toEqual({
    audience: 'https://orders.example.com',
    source: 'auth0',
    scopes: ['read:orders', 'write:orders'],
  });
  expect((await stage.vault.call('GET', 'auth0/apis/reports')).status).toBe(404);
  expect(await read('roles/acme')).toMatchObject({ client_id: acme?.role_id, grants: [grant], default_api: null, disabled: false });
  expect(await read('roles/globex')).toMatchObject({
    client_id: globex?.role_id,
    grants: [grant],
    default_api: 'orders',
    claims: { 'https://postern.dev/plan': 'gold' },
    disabled: true,
  });
  const plan = await planTerraform(terraform('first', {}, catalogue));
  expect(plan.changes, plan.text).toBe(false);

  // By the CLI, and left as it is.
  await stage.vault.root('POST', 'auth0/roles/acme', { disabled: true });
  expect((await planTerraform(terraform('first', {}, catalogue))).changes).toBe(false);
  await stage.vault.root('POST', 'auth0/roles/acme', { disabled: false });

  // By hand, and seen.
  await stage.vault.root('POST', 'auth0/roles/globex', { disabled: false });
  await stage.vault.root('POST', 'auth0/apis/orders', { scopes: [...catalogue.apis.orders.scopes, 'delete:orders'] });
  const drifted = await planTerraform(terraform('first', {}, catalogue));
  for (const address of ['module.tenant["globex"].vault_generic_endpoint.plugin_role', 'vault_generic_endpoint.plugin_api["orders"]'])
    expect(drifted.text).toContain(address);

  const { acme: only } = catalogue.tenants;
  await applyTerraform(terraform('first', {}, { ...catalogue, tenants: { acme: only }, cut_off: ['globex'] }));
  expect((await stage.vault.call('GET', 'auth0/roles/globex')).status).toBe(404);
  expect(await read('roles/acme')).toMatchObject({ disabled: false });
}, 240_000);

test('destroy takes the mount, its storage and its process away', async () => {
  await destroyTerraform(terraform('first'));
  expect(await mounts()).not.toHaveProperty('auth0/');
  await expect.poll(() => stage.vault.plugins(), { timeout: 10_000 }).toEqual([]);
  tokens['platform/auth0'] = await terraformToken(stage.vault, { auth0: 'platform/auth0' });
  await applyTerraform(terraform('first', { plugin: 'platform/auth0' }));
  expect((await mounts())['platform/auth0/']).toMatchObject({ running_plugin_version: 'v0.1.0' });
  expect((await stage.vault.call('GET', 'platform/auth0/config')).status).toBe(404);
  await destroyTerraform(terraform('first', { plugin: 'platform/auth0' }));
});
