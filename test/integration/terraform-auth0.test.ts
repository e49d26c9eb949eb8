import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTerraform, destroyTerraform, planTerraform, type TerraformOptions } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ManagementStandIn, startManagement } from './terraform-management.ts';

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
    'auth0_client.operators[0]',
    'auth0_client.shared[0]',
    'auth0_client_grant.shared["orders"]',
    'auth0_client_grant.shared["plain"]',
    'auth0_resource_server.api["orders"]',
    'auth0_resource_server.api["plain"]',
    'auth0_resource_server_scopes.api["orders"]',
    'auth0_trigger_actions.bind[0]',
  ]);
  expect(plan['auth0_client.shared[0]']).toMatch(/grant_types\s+= \[\s+\+ "client_credentials",\s+\]/);
  expect(plan['auth0_client.shared[0]']).toMatch(/"postern" = "broker"/);
  expect(plan['auth0_client.shared[0]']).not.toMatch(/client_secret/);
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
  expect(plan['auth0_client.operators[0]']).toMatch(
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

/** An Auth0 tenant in use: an API, an M2M application that is granted it, and an application of people. */
async function inUse(): Promise<{ management: ManagementStandIn; terraform: TerraformOptions; before: string; snapshot: () => string }> {
  const management = await startManagement();
  registerSecret('Management API token', management.environment['AUTH0_API_TOKEN'] as string);
  const secret = `secret-of-an-application-${crypto.randomUUID()}`;
  registerSecret('client secret', secret);
  management.apis.set('api7', {
    id: 'api7',
    name: 'Orders, since 2019',
    identifier: 'https://orders.example.com',
    signing_alg: 'RS256',
    signing_secret: `secret-of-an-api-${crypto.randomUUID()}`,
    token_lifetime: 7200,
    token_dialect: 'access_token_authz',
    enforce_policies: true,
    allow_offline_access: true,
    scopes: [
      { value: 'read:orders', description: 'Read' },
      { value: 'write:orders', description: 'Write' },
      { value: 'admin:orders', description: 'Only for our own people' },
    ],
  });
  for (const [client_id, name, app_type] of [
    ['m2m', 'Back end', 'non_interactive'],
    ['people', 'Staff', 'regular_web'],
  ] as const)
    management.clients.set(client_id, {
      client_id,
      client_secret: secret,
      name,
      app_type,
      is_first_party: true,
      grant_types: ['client_credentials'],
      client_metadata: { postern: 'broker', team: 'orders' },
      token_endpoint_auth_method: 'client_secret_post',
    });
  management.grants.set('cgr_1', {
    id: 'cgr_1',
    client_id: 'm2m',
    audience: 'https://orders.example.com',
    scope: ['read:orders', 'write:orders'],
  });
  const snapshot = () => JSON.stringify([[...management.clients], [...management.apis], [...management.grants]]);
  return {
    management,
    snapshot,
    before: snapshot(),
    terraform: {
      vaultAddress: vault.address,
      vaultToken,
      stateDirectory: await mkdtemp(join(tmpdir(), 'postern-auth0-adopt-')),
      variables: {
        apis: { orders: { ...apis.orders, manage: false }, reports: apis.reports },
        auth0: { domain: management.domain, client_id: 'm2m', operators_client_id: 'people', manage_grants: false, manage_trigger: false },
      },
      environment: management.environment,
    },
  };
}

test('an API and applications that were there are used as they are, and are still there after a destroy', async () => {
  const { management, terraform, before, snapshot } = await inUse();
  try {
    const { outputs } = await applyTerraform(terraform);
    expect(outputs['auth0']).toEqual({ client_id: 'm2m', operators_client_id: 'people' });
    expect(snapshot()).toBe(before);
    expect(management.actions.size).toBe(1);
    const document = await fetch(`${vault.address}/v1/postern/data/apis/orders`, { headers: { 'X-Vault-Token': vault.rootToken } });
    expect(((await document.json()) as { data: { data: object } }).data.data).toEqual({
      ...apis.orders,
      scopes: ['read:orders', 'write:orders'],
    });
    expect(await planTerraform(terraform)).toMatchObject({ changes: false });
    // An application that Terraform makes is granted an API that was there.
    const made = await planTerraform({ ...terraform, variables: { ...terraform.variables, auth0: { domain: management.domain } } });
    expect(made.text).toMatch(/client_grant\.shared\["orders"\] will be created[^#]*audience\s+= "https:\/\/orders\.example\.com"/);
    const state = await readFile(join(terraform.stateDirectory, 'terraform.tfstate'), 'utf8');
    for (const { client_secret } of management.clients.values()) expect(state.includes(client_secret)).toBe(false);

    // What is said here and what is there part ways: each difference is told with what to write.
    Object.assign(management.apis.get('api7') as object, {
      signing_alg: 'HS256',
      token_lifetime: 600,
      token_dialect: 'access_token',
      scopes: [],
    });
    const refused = await planTerraform(terraform).then(
      () => '',
      (error: Error) => error.message.replaceAll(/\s+/g, ' '),
    );
    for (const words of [
      'API orders (manage = false) signs its tokens by HS256 in Auth0',
      'API orders (manage = false) lacks scopes in Auth0 that it has here: read:orders, write:orders.',
      'API orders (manage = false) has tokens of 600 s in Auth0, and a lifetime of 7200 here: write lifetime = 600',
      'has the dialect access_token in Auth0, and access_token_authz here: write dialect = "access_token"',
    ])
      expect(refused).toContain(words);
    Object.assign(management.apis.get('api7') as object, (JSON.parse(before) as [unknown, [string, object][]])[1][0]?.[1]);

    await destroyTerraform(terraform);
    expect(snapshot()).toBe(before);
    expect(management.actions.size).toBe(0);
  } finally {
    await management.stop();
    await rm(terraform.stateDirectory, { recursive: true, force: true });
  }
});

test("what was there is taken over by the import blocks of Terraform's README: nothing is made anew or removed", async () => {
  const { management, terraform } = await inUse();
  const readme = await readFile(new URL('../../terraform/README.md', import.meta.url), 'utf8');
  const [, blocks = ''] = /^```hcl\n(import \{\n[^]*?)^```/m.exec(readme) ?? [];
  expect(blocks.match(/^import /gm)).toHaveLength(4);
  const ids = { '66f0c1d2e3b4a5968778695a': 'api7', Hq7W8eR9tY0uI1oP2aS3dF4gH5jK6lZ7: 'm2m', cgr_Xy12Zab34Cd56Ef7: 'cgr_1' };
  let text = blocks;
  for (const [id, real] of Object.entries(ids)) {
    expect(text).toContain(id);
    text = text.replaceAll(id, real);
  }
  const options = {
    ...terraform,
    files: { 'adopt.tf': text },
    variables: {
      apis: { orders: { ...apis.orders, scopes: ['admin:orders', ...apis.orders.scopes] } },
      auth0: { domain: management.domain, manage_trigger: false },
    },
  };
  try {
    const { text: plan } = await planTerraform(options);
    expect(plan).toMatch(/Plan: 4 to import, \d+ to add, \d+ to change, 0 to destroy/);
    const { outputs } = await applyTerraform(options);
    expect(outputs['auth0']).toMatchObject({ client_id: 'm2m' });
    expect([management.apis.size, management.grants.size]).toEqual([1, 1]);
    expect(management.clients.get('m2m')?.['client_secret']).toMatch(/^secret-of-an-application-/);
    expect(management.apis.get('api7')).toMatchObject({ token_lifetime: 7200, name: 'Postern: orders', allow_offline_access: true });
    expect(management.grants.get('cgr_1')).toMatchObject({ scope: ['admin:orders', 'read:orders', 'write:orders'] });
    // With the blocks, and without them.
    for (const files of [options.files, {}]) {
      const again = await planTerraform({ ...options, files });
      expect(again.changes, again.text).toBe(false);
    }
  } finally {
    await management.stop();
    await rm(terraform.stateDirectory, { recursive: true, force: true });
  }
});
