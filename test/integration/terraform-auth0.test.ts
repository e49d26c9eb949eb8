import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTerraform, destroyTerraform, planTerraform, type TerraformOptions } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startManagement } from './terraform-management.ts';

/*
 * The Auth0 module: planned by the real provider, and applied by it to a small stand-in of the Management API that speaks the
 * same https.
 */

const apis = {
  orders: {
    audience: 'https://orders.example.com',
    source: 'auth0',
    scopes: ['write:orders', 'read:orders'],
    lifetime: 7200,
    dialect: 'access_token_authz',
  },
  plain: { audience: 'https://plain.example.com', source: 'auth0' },
  reports: { audience: 'https://reports.example.com', source: 'transit' },
};

let vault: VaultFixture;
let vaultToken: string;
let stateDirectory: string;

beforeAll(async () => {
  vault = await startVault();
  vaultToken = await terraformToken(vault);
  stateDirectory = await mkdtemp(join(tmpdir(), 'postern-auth0-'));
});

afterAll(async () => {
  await vault?.stop();
  if (stateDirectory) await rm(stateDirectory, { recursive: true, force: true });
});

/** The planned resources of the Auth0 module by address, each with its block of the plan. */
async function planned(auth0: object | null): Promise<Record<string, string>> {
  const { text } = await planTerraform({
    vaultAddress: vault.address,
    vaultToken,
    stateDirectory,
    variables: { apis, auth0 },
    environment: auth0 ? { AUTH0_API_TOKEN: 'a-plan-of-new-things-asks-auth0-nothing' } : {},
  });
  const blocks = text
    .split(/^ {2}# /m)
    .slice(1)
    .map((block) => [/^(\S+) will be created/.exec(block)?.[1] ?? '', block] as const);
  return Object.fromEntries(
    blocks
      .filter(([address]) => address.startsWith('module.auth0[0].'))
      .map(([address, block]) => [address.slice('module.auth0[0].'.length), block]),
  );
}

test('an Action binds each token to its tenant, on any plan of Auth0', async () => {
  const plan = await planned({ domain: 'example.eu.auth0.com', vault_addresses: ['https://vault.example.com'] });
  expect(Object.keys(plan).sort()).toEqual([
    'auth0_action.bind[0]',
    'auth0_client.operators',
    'auth0_client.shared',
    'auth0_client_grant.shared["orders"]',
    'auth0_client_grant.shared["plain"]',
    'auth0_resource_server.api["orders"]',
    'auth0_resource_server.api["plain"]',
    'auth0_resource_server_scopes.api["orders"]',
    'auth0_trigger_actions.bind[0]',
  ]);
  expect(plan['auth0_client.shared']).toMatch(/grant_types\s+= \[\s+\+ "client_credentials",\s+\]/);
  expect(plan['auth0_client.shared']).toMatch(/"postern" = "broker"/);
  expect(plan['auth0_client.shared']).not.toMatch(/client_secret/);
  expect(plan['auth0_client_grant.shared["orders"]']).toMatch(/"read:orders",\s+\+ "write:orders"/);
  expect(plan['auth0_resource_server.api["orders"]']).toMatch(
    /enforce_policies\s+= true[^]*token_dialect\s+= "access_token_authz"[^]*token_lifetime\s+= 7200/,
  );
  expect(plan['auth0_resource_server.api["plain"]']).toMatch(
    /enforce_policies\s+= false[^]*token_dialect\s+= "access_token"[^]*token_lifetime\s+= 86400/,
  );
  expect(plan['auth0_action.bind[0]']).toMatch(/deploy\s+= true/);
  expect(plan['auth0_action.bind[0]']).toMatch(/id\s+= "credentials-exchange"\s+\+ version = "v2"/);
  expect(plan['auth0_trigger_actions.bind[0]']).toMatch(/trigger = "credentials-exchange"/);
  expect(plan['auth0_client.operators']).toMatch(
    /"http:\/\/localhost:8250\/oidc\/callback",\s+\+ "https:\/\/vault.example.com\/ui\/vault\/auth\/oidc\/oidc\/callback"/,
  );
});

test('where other Actions are bound to the trigger, its list is left alone', async () => {
  const plan = await planned({ domain: 'example.eu.auth0.com', manage_trigger: false });
  expect(Object.keys(plan)).toContain('auth0_action.bind[0]');
  expect(Object.keys(plan)).not.toContain('auth0_trigger_actions.bind[0]');
});

test('binding by organization needs no Action', async () => {
  const plan = await planned({ domain: 'example.eu.auth0.com', binding: 'organization' });
  expect(Object.keys(plan).filter((address) => /action/.test(address))).toEqual([]);
});

test('without auth0 nothing of it is planned, and no credential of it is asked for', async () => {
  expect(await planned(null)).toEqual({});
});

test('applied to the Management API: made, unchanged by a second apply, mended, removed', async () => {
  const management = await startManagement();
  registerSecret('Management API token', management.environment['AUTH0_API_TOKEN'] as string);
  const folder = await mkdtemp(join(tmpdir(), 'postern-auth0-apply-'));
  const terraform: TerraformOptions = {
    vaultAddress: vault.address,
    vaultToken,
    stateDirectory: folder,
    variables: { apis, auth0: { domain: management.domain } },
    environment: management.environment,
  };
  try {
    const { outputs } = await applyTerraform(terraform);
    const ids = outputs['auth0'] as { client_id: string; operators_client_id: string };
    expect(management.clients.get(ids.client_id)).toMatchObject({
      app_type: 'non_interactive',
      grant_types: ['client_credentials'],
      client_metadata: { postern: 'broker' },
    });
    expect(management.clients.get(ids.operators_client_id)).toMatchObject({
      app_type: 'regular_web',
      grant_types: ['authorization_code'],
      callbacks: ['http://localhost:8250/oidc/callback'],
    });
    expect([...management.grants.values()]).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          client_id: ids.client_id,
          audience: 'https://orders.example.com',
          scope: ['read:orders', 'write:orders'],
        }),
        expect.objectContaining({ client_id: ids.client_id, audience: 'https://plain.example.com', scope: [] }),
      ]),
    );
    expect(new Set([...management.apis.values()].map((api) => api['identifier']))).toEqual(
      new Set(['https://orders.example.com', 'https://plain.example.com']),
    );
    const [action] = management.actions.values();
    expect(action).toMatchObject({
      code: await readFile(new URL('../../terraform/modules/auth0/action.js', import.meta.url), 'utf8'),
      all_changes_deployed: true,
    });
    expect(management.bound).toEqual([action?.['id']]);
    // People's login follows Auth0.
    const role = await fetch(`${vault.address}/v1/auth/oidc/role/operator`, { headers: { 'X-Vault-Token': vault.rootToken } });
    expect(role.status).toBe(200);

    expect(await planTerraform(terraform)).toMatchObject({ changes: false });

    // Of the secrets that Auth0 made, no application's is kept; only what the provider reads back with each API.
    const state = await readFile(join(folder, 'terraform.tfstate'), 'utf8');
    for (const client of management.clients.values()) expect(state.includes(client['client_secret'])).toBe(false);
    expect(state.includes(management.environment['AUTH0_API_TOKEN'] as string)).toBe(false);
    const kept = management.secrets.filter((secret) => state.includes(secret));
    expect(new Set(kept)).toEqual(new Set([...management.apis.values()].map((api) => api['signing_secret'])));

    // By hand somebody unbinds the Action and lets the shared application ask for more.
    management.bound = [];
    for (const grant of management.grants.values()) grant['scope'] = [];
    const drifted = await planTerraform(terraform);
    expect(drifted.text).toMatch(/auth0_trigger_actions\.bind\[0\]/);
    expect(drifted.text).toMatch(/auth0_client_grant\.shared\["orders"\]/);
    await applyTerraform(terraform);
    expect(management.bound).toEqual([action?.['id']]);
    expect(await planTerraform(terraform)).toMatchObject({ changes: false });

    await destroyTerraform(terraform);
    expect([
      management.clients.size,
      management.apis.size,
      management.grants.size,
      management.actions.size,
      management.bound.length,
    ]).toEqual([0, 0, 0, 0, 0]);
  } finally {
    await management.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
