import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planTerraform } from '#cli/dev/terraform.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

/*
 * The Auth0 module, planned by the real provider. It isn't applied: the provider speaks https to Auth0's Management API only,
 * and no maintained package serves a stand-in of its clients, APIs, grants and Actions.
 */

const apis = {
  orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['write:orders', 'read:orders'], lifetime: 7200, dialect: 'access_token_authz' },
  plain: { audience: 'https://plain.example.com', source: 'auth0' },
  reports: { audience: 'https://reports.example.com', source: 'transit' },
};

let vault: VaultFixture;
let stateDirectory: string;

beforeAll(async () => {
  vault = await startVault();
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
    vaultToken: vault.rootToken,
    stateDirectory,
    variables: { apis, auth0 },
    environment: auth0 ? { AUTH0_API_TOKEN: 'a-plan-of-new-things-asks-auth0-nothing' } : {},
  });
  const blocks = text.split(/^ {2}# /m).slice(1).map((block) => [/^(\S+) will be created/.exec(block)?.[1] ?? '', block] as const);
  return Object.fromEntries(blocks.filter(([address]) => address.startsWith('module.auth0[0].')).map(([address, block]) => [address.slice('module.auth0[0].'.length), block]));
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
  expect(plan['auth0_resource_server.api["orders"]']).toMatch(/enforce_policies\s+= true[^]*token_dialect\s+= "access_token_authz"[^]*token_lifetime\s+= 7200/);
  expect(plan['auth0_resource_server.api["plain"]']).toMatch(/enforce_policies\s+= false[^]*token_dialect\s+= "access_token"[^]*token_lifetime\s+= 86400/);
  expect(plan['auth0_action.bind[0]']).toMatch(/deploy\s+= true/);
  expect(plan['auth0_action.bind[0]']).toMatch(/id\s+= "credentials-exchange"\s+\+ version = "v2"/);
  expect(plan['auth0_trigger_actions.bind[0]']).toMatch(/trigger = "credentials-exchange"/);
  expect(plan['auth0_client.operators']).toMatch(/"http:\/\/localhost:8250\/oidc\/callback",\s+\+ "https:\/\/vault.example.com\/ui\/vault\/auth\/oidc\/oidc\/callback"/);
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
