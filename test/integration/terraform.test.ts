import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { generateKeyPairSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Auth0StandIn, startAuth0 } from '#dev/auth0.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { applyTerraform, destroyTerraform, planTerraform, type TerraformOptions } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { productOf } from '#tools/part/server.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

/*
 * The life of one installation, in order: made, unchanged by a second apply, changed, drifted and mended, removed. Each
 * test begins where the one before it ended.
 */

const roles = 'https://postern.dev/roles';
const callback = 'http://localhost:8250/oidc/callback';
const oidcSecret = `oidc-${crypto.randomUUID()}`;
const upstreamSecret = `upstream-${crypto.randomUUID()}`;

const publicKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
const assertionKeys = [{ pem: publicKey(), kid: 'one' }, { pem: publicKey() }];
const issuer = 'https://tokens.example.com/';

const orders = { api: 'orders', scopes: ['read:orders'] };
const tenants = {
  acme: {
    grants: [orders, { api: 'billing', scopes: [] }],
    default_api: 'orders',
    claims: { 'https://postern.dev/plan': 'gold' },
    secret_id_ttl: 3600,
    // Each spelled as people do: Vault mangles some of them.
    cidrs: ['0.0.0.0/0', '192.0.2.7/32', '192.0.2.7', '2001:0db8:0000::/32', '2001:DB8::7', '10.1.2.3/8'],
    assertion_keys: assertionKeys,
  },
  globex: {
    grants: [orders],
    organization: 'org_globex',
    token_ttl: 60,
    vault_cidrs: ['0.0.0.0/0', '192.0.2.7/32', '192.0.2.8', '2001:0DB8:0000::/32', '2001:db8:0::7/128', '10.1.2.3/8'],
  },
};
/** Once its accessor is known. */
const workloads = { deploy: { accessor: '', alias: 'globex-deploy' } };

let vault: VaultFixture;
let auth0: Auth0StandIn;
let terraform: TerraformOptions;
let outputs: Record<string, any>;
let before: unknown;

async function call(token: string, method: string, path: string, body?: object): Promise<{ status: number; json: Record<string, any> }> {
  const response = await fetch(`${vault.address}/v1/${path}`, {
    method,
    headers: token ? { 'X-Vault-Token': token } : {},
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  return { status: response.status, json: text ? JSON.parse(text) : {} };
}

const root = async (method: string, path: string, body?: object) => (await call(vault.rootToken, method, path, body)).json;

/** All that Terraform manages anywhere in Vault, by name. */
async function inventory(): Promise<unknown> {
  const [mounts, auth, audit, policies, quotas] = await Promise.all([
    root('GET', 'sys/mounts'),
    root('GET', 'sys/auth'),
    root('GET', 'sys/audit'),
    root('LIST', 'sys/policies/acl'),
    root('LIST', 'sys/quotas/rate-limit'),
  ]);
  const names = (answer: Record<string, any>) => Object.keys(answer['data']).sort();
  return {
    mounts: names(mounts),
    auth: names(auth),
    audit: names(audit),
    policies: policies['data'].keys,
    quotas: quotas['data']?.keys ?? [],
  };
}

async function issueSecretId(mount: string, role: string): Promise<string> {
  const { data } = await root('POST', `auth/${mount}/role/${role}/secret-id`);
  registerSecret('secret_id', data.secret_id);
  return data.secret_id;
}

async function logIn(mount: string, roleId: string, secretId: string): Promise<{ status: number; auth?: Record<string, any> }> {
  const { status, json } = await call('', 'POST', `auth/${mount}/login`, { role_id: roleId, secret_id: secretId });
  if (json['auth']) registerSecret('Vault token', json['auth'].client_token);
  return { status, auth: json['auth'] };
}

const credentials: Record<string, { roleId: string; secretId: string }> = {};

beforeAll(async () => {
  registerSecret('OIDC client secret', oidcSecret);
  registerSecret('upstream client secret', upstreamSecret);
  vault = await startVault({ reachHost: true });
  auth0 = await startAuth0({
    account: {
      clients: [{ id: 'operators', secrets: [oidcSecret], grantTypes: ['authorization_code'], callbacks: [callback] }],
      apis: [],
      grants: [],
      organizations: [],
      people: [
        { id: 'auth0|olivia', email: 'olivia@example.com', name: 'Olivia', claims: { [roles]: ['operator', 'auditor'] } },
        { id: 'auth0|arthur', email: 'arthur@example.com', name: 'Arthur', claims: { [roles]: ['auditor'] } },
        { id: 'auth0|nobody', email: 'nobody@example.com', name: 'Nobody' },
      ],
    },
  });
  await root('POST', 'sys/auth/workloads', { type: 'userpass' });
  workloads.deploy.accessor = (await root('GET', 'sys/auth'))['data']['workloads/'].accessor;
  Object.assign(tenants.globex, { workloads });
  terraform = {
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: await mkdtemp(join(tmpdir(), 'postern-terraform-')),
    variables: {
      apis: {
        orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['write:orders', 'read:orders'] },
        billing: { audience: 'https://billing.example.com', source: 'transit', scopes: [], lifetime: 600, dialect: 'rfc9068_profile' },
      },
      tenants,
      issuer,
      oidc: { discovery_url: auth0.issuer, client_id: 'operators' },
      admin_api: { issuer: auth0.issuer, audience: 'https://postern.example.com/admin' },
      // Single addresses, of which Vault and the provider's versions each have a form of their own.
      broker_jwt: { issuer: 'https://ci.example.com', public_keys: [publicKey()], audiences: ['postern'], subject: 'broker' },
      broker: { cidrs: ['0.0.0.0/0', '192.0.2.9', '2001:0DB8::9'] },
      self_service: {
        issuer: auth0.issuer,
        audience: 'https://postern.example.com/self',
        broker_cidrs: ['192.0.2.9/32', '192.0.2.10', '2001:DB8:0::9'],
      },
    },
  };
  before = await inventory();
});

afterAll(async () => {
  await auth0?.stop();
  await vault?.stop();
  if (terraform) await rm(terraform.stateDirectory, { recursive: true, force: true });
});

test('apply provisions Vault, and what it makes works', async () => {
  ({ outputs } = await applyTerraform(terraform));
  expect(outputs).toMatchObject({
    broker_role_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    approle_accessor: expect.stringMatching(/^auth_approle_/),
    tenants: { acme: { role_id: expect.any(String) }, globex: { role_id: expect.any(String) } },
    mounts: {
      approle: 'approle',
      broker_approle: 'approle-broker',
      oidc: 'oidc',
      kv: 'postern',
      tokens: 'postern-tokens',
      transit: 'transit',
    },
  });

  // A password's way in is made only where it is asked for.
  expect(Object.keys(await root('GET', 'sys/auth'))).not.toContain('userpass/');

  // The shapes that the broker reads.
  expect((await root('GET', 'postern/data/apis/orders'))['data'].data).toEqual({
    audience: 'https://orders.example.com',
    source: 'auth0',
    scopes: ['read:orders', 'write:orders'],
    lifetime: 86_400,
    dialect: 'access_token',
  });
  expect((await root('GET', 'postern/data/apis/billing'))['data'].data).toMatchObject({
    source: 'transit',
    lifetime: 600,
    dialect: 'rfc9068_profile',
  });
  expect((await root('GET', 'postern/data/tenants/acme'))['data'].data).toEqual({
    client_id: outputs['tenants'].acme.role_id,
    grants: [orders, { api: 'billing', scopes: [] }],
    default_api: 'orders',
    introspects: [],
    publish: [],
    managed_by: 'terraform',
    organization: null,
    claims: { 'https://postern.dev/plan': 'gold' },
    disabled: false,
  });
  await expectWorkloads();
  for (const [path, cidrs] of [
    ['jwt-broker/role/broker', ['0.0.0.0/0', '192.0.2.9', '2001:db8::9']],
    ['postern-self/role/self', ['192.0.2.9', '192.0.2.10', '2001:db8::9']],
  ] as const)
    expect((await root('GET', `auth/${path}`))['data'].token_bound_cidrs, path).toEqual(cidrs);
  const role = (await root('GET', 'auth/approle/role/acme'))['data'];
  expect(role.token_bound_cidrs).toEqual([]);
  expect(role.secret_id_bound_cidrs.toSorted()).toEqual(
    ['0.0.0.0/0', '10.0.0.0/8', '192.0.2.7/32', '2001:db8::/32', '2001:db8::7/128'].toSorted(),
  );
  expect((await root('GET', 'auth/approle/role/globex'))['data'].token_bound_cidrs.toSorted()).toEqual(
    ['0.0.0.0/0', '192.0.2.7', '192.0.2.8', '2001:db8::/32', '2001:db8::7', '10.0.0.0/8'].toSorted(),
  );
  expect((await root('GET', 'postern/data/tenants/globex'))['data'].data).toMatchObject({
    organization: 'org_globex',
    default_api: null,
    claims: {},
  });
  expect((await root('GET', 'postern-tokens/config'))['data']).toMatchObject({ max_versions: 1, delete_version_after: '25h0m0s' });
  expect((await root('GET', 'transit/keys/postern'))['data']).toMatchObject({
    type: 'rsa-2048',
    exportable: false,
    allow_plaintext_backup: false,
  });
  expect((await root('GET', 'sys/quotas/rate-limit/postern-approle'))['data']).toMatchObject({ path: 'auth/approle/login', rate: 2000 });
  expect((await root('GET', 'sys/audit'))['data']['postern/']).toMatchObject({ type: 'file' });

  for (const tenant of Object.keys(tenants)) {
    credentials[tenant] = { roleId: outputs['tenants'][tenant].role_id, secretId: await issueSecretId('approle', tenant) };
  }
  const acme = await logIn('approle', credentials['acme']!.roleId, credentials['acme']!.secretId);
  expect(acme.auth).toMatchObject({ token_type: 'batch', lease_duration: 300, policies: ['postern-tenant'], renewable: false });
  const globex = await logIn('approle', credentials['globex']!.roleId, credentials['globex']!.secretId);
  expect(globex.auth).toMatchObject({ token_type: 'batch', lease_duration: 60 });
  const broker = await logIn('approle-broker', outputs['broker_role_id'], await issueSecretId('approle-broker', 'broker'));
  expect(broker.auth).toMatchObject({ token_type: 'service', lease_duration: 3600, policies: ['postern-broker'], renewable: true });

  // Written by others than Terraform, beside its documents.
  await root('POST', 'postern/data/upstream/auth0', { data: { client_id: 'shared', client_secret: upstreamSecret } });
  await root('POST', 'postern/data/state/epoch', { data: { epoch: 1, disabled: ['globex'], recent: [] } });
});

/** Whose workloads and keys are whose, as the broker and Vault read it. */
async function expectWorkloads(): Promise<void> {
  const { acme, globex } = outputs['tenants'];
  expect((await root('GET', `postern/data/assertions/${acme.role_id}`))['data'].data).toEqual({
    tenant: 'acme',
    keys: [
      { kid: 'one', pem: assertionKeys[0]?.pem.trimEnd() },
      { kid: null, pem: assertionKeys[1]?.pem.trimEnd() },
    ],
  });
  expect((await root('GET', 'auth/postern-assertion/acme/role/acme'))['data']).toMatchObject({
    role_type: 'jwt',
    bound_subject: acme.role_id,
    bound_audiences: [issuer, `${issuer}oauth/token`],
    token_type: 'batch',
    token_policies: [],
    token_no_default_policy: true,
    user_claim: 'sub',
    token_bound_cidrs: ['0.0.0.0/0', '192.0.2.7', '2001:db8::/32', '2001:db8::7', '10.0.0.0/8'],
  });
  expect((await root('GET', 'auth/postern-assertion/acme/config'))['data']).toMatchObject({
    bound_issuer: acme.role_id,
    jwt_supported_algs: ['RS256', 'RS384', 'PS256', 'ES256'],
  });
  const entity = (await root('GET', 'identity/entity/name/postern.globex.deploy'))['data'];
  expect(entity).toMatchObject({
    metadata: { postern_tenant: 'globex', postern_client_id: globex.role_id },
    policies: ['postern-workload'],
    aliases: [{ name: 'globex-deploy', mount_path: 'auth/workloads/' }],
  });
  expect((await root('GET', 'identity/entity/name/postern.acme..assertion'))['data']).toMatchObject({
    metadata: { postern_tenant: 'acme' },
    aliases: [{ name: acme.role_id }],
  });
  expect((await root('GET', 'postern-replay/config'))['data']).toMatchObject({ cas_required: true, max_versions: 1 });
}

test.each(['approle', 'approle-broker'])('wrong secret_ids lock nobody out on %s', async (mount) => {
  const [roleId, role] = mount === 'approle' ? [outputs['tenants'].acme.role_id, 'acme'] : [outputs['broker_role_id'], 'broker'];
  const right = await issueSecretId(mount, role);
  for (let i = 0; i < 8; i += 1) expect((await logIn(mount, roleId, crypto.randomUUID())).status).toBe(400);
  expect((await logIn(mount, roleId, right)).status).toBe(200);
});

test('a second apply changes nothing, nor does a rotated key, a set upstream credential or a disabled tenant', async () => {
  const plan = await planTerraform(terraform);
  expect(plan.changes, plan.text).toBe(false);
  expect(plan.text).not.toContain('Warning');
  await root('POST', 'transit/keys/postern/rotate');
  expect(await planTerraform(terraform)).toMatchObject({ changes: false });
  expect((await applyTerraform(terraform)).outputs).toEqual(outputs);
  expect((await root('GET', 'transit/keys/postern'))['data'].latest_version).toBe(2);
  expect((await root('GET', 'postern/data/state/epoch'))['data'].data).toMatchObject({ epoch: 1, disabled: ['globex'] });
});

test('the state holds no secret', async () => {
  const state = await readFile(join(terraform.stateDirectory, 'terraform.tfstate'), 'utf8');
  const broker = await issueSecretId('approle-broker', 'broker');
  const secrets = [
    vault.rootToken,
    vault.unsealKey,
    oidcSecret,
    upstreamSecret,
    broker,
    ...Object.values(credentials).map(({ secretId }) => secretId),
  ];
  for (const secret of secrets) expect(state.includes(secret)).toBe(false);
  // The operators' policy names the parameter.
  expect(/client_secret|private_key|hv[sb]\./.test(state.replace('\\\"client_secret\\\" = []', ''))).toBe(false);
  // What else lies in the state directory, the copy of the configuration and the variables, holds none either.
  expect((await readdir(terraform.stateDirectory)).sort()).toEqual(['configuration', 'data', 'terraform.tfstate', 'variables.tfvars.json']);
  const variables = await readFile(join(terraform.stateDirectory, 'variables.tfvars.json'), 'utf8');
  for (const secret of secrets) expect(variables.includes(secret)).toBe(false);
});

test('without its client secret the OIDC method is there, and is configured by hand once', async () => {
  expect((await root('GET', 'auth/oidc/role/operator'))['data']).toMatchObject({
    role_type: 'oidc',
    bound_claims: { [roles]: ['operator'] },
    token_policies: ['postern-operator'],
  });
  expect((await call(vault.rootToken, 'GET', 'auth/oidc/config')).status).toBe(404);
  const byHand = { oidc_discovery_url: auth0.issuer, oidc_client_id: 'operators', oidc_client_secret: oidcSecret, default_role: 'auditor' };
  expect(await call(vault.rootToken, 'POST', 'auth/oidc/config', byHand)).toMatchObject({ status: 204 });
  expect(await planTerraform(terraform)).toMatchObject({ changes: false });
});

test('operators and auditors log in by OIDC with their own policy, others not at all', async () => {
  const login = async (role: string, email: string) => {
    const { json } = await call('', 'PUT', 'auth/oidc/oidc/auth_url', {
      role,
      redirect_uri: callback,
      client_nonce: 'nonce-of-this-login',
    });
    const asked = await fetch(`${json['data'].auth_url}&login_hint=${encodeURIComponent(email)}`, { redirect: 'manual' });
    const back = new URL(asked.headers.get('location') as string).searchParams;
    const query = new URLSearchParams({
      state: back.get('state') as string,
      code: back.get('code') as string,
      client_nonce: 'nonce-of-this-login',
    });
    const answer = await call('', 'GET', `auth/oidc/oidc/callback?${query}`);
    if (answer.json['auth']) registerSecret('Vault token', answer.json['auth'].client_token);
    return answer;
  };
  expect((await login('operator', 'olivia@example.com')).json['auth']).toMatchObject({
    policies: ['postern-operator'],
    lease_duration: 3600,
  });
  expect((await login('auditor', 'arthur@example.com')).json['auth']).toMatchObject({ policies: ['postern-auditor'] });
  expect((await login('operator', 'arthur@example.com')).status).toBe(400);
  expect((await login('auditor', 'nobody@example.com')).status).toBe(400);
});

test('with its client secret set, Terraform configures the OIDC method and keeps that one secret in its state', async () => {
  const withSecret = { ...terraform, variables: { ...terraform.variables, oidc_client_secret: oidcSecret } };
  await applyTerraform(withSecret);
  expect((await root('GET', 'auth/oidc/config'))['data']).toMatchObject({
    oidc_discovery_url: auth0.issuer,
    oidc_client_id: 'operators',
    default_role: 'auditor',
  });
  expect(await planTerraform(withSecret)).toMatchObject({ changes: false });
  const state = await readFile(join(terraform.stateDirectory, 'terraform.tfstate'), 'utf8');
  expect(state.split(oidcSecret)).toHaveLength(2);
  expect(await readFile(join(terraform.stateDirectory, 'variables.tfvars.json'), 'utf8')).not.toContain(oidcSecret);

  await root('POST', 'auth/oidc/config', {
    oidc_discovery_url: auth0.issuer,
    oidc_client_id: 'somebody-else',
    oidc_client_secret: oidcSecret,
  });
  const drifted = await planTerraform(withSecret);
  expect(drifted.changes).toBe(true);
  expect(drifted.text).not.toContain(oidcSecret);

  // Taken away again, the configuration stays in Vault and the secret leaves the state.
  await applyTerraform(withSecret);
  await applyTerraform(terraform);
  expect(await readFile(join(terraform.stateDirectory, 'terraform.tfstate'), 'utf8')).not.toContain(oidcSecret);
  expect((await call(vault.rootToken, 'GET', 'auth/oidc/config')).status).toBe(200);
});

test('what is changed by hand is found by plan, each thing by its address, and mended by apply', async () => {
  const changes: Record<string, () => Promise<unknown>> = {
    'vault_policy.policy["broker"]': () =>
      root('POST', 'sys/policies/acl/postern-broker', { policy: 'path "*" { capabilities = ["read"] }' }),
    'module.tenant["acme"].vault_generic_secret.tenant': () =>
      root('POST', 'postern/data/tenants/acme', { data: { grants: [{ api: 'orders', scopes: ['write:orders'] }] } }),
    'module.tenant["acme"].vault_approle_auth_backend_role.tenant': () =>
      root('POST', 'auth/approle/role/acme', { token_policies: ['postern-tenant', 'postern-broker'] }),
    'vault_generic_secret.api["orders"]': () => root('DELETE', 'postern/metadata/apis/orders'),
    'vault_approle_auth_backend_role.broker': () => root('POST', 'auth/approle-broker/role/broker', { token_policies: ['root'] }),
    'vault_generic_endpoint.tokens_config': () => root('POST', 'postern-tokens/config', { max_versions: 10 }),
    'vault_quota_rate_limit.approle': () =>
      root('POST', 'sys/quotas/rate-limit/postern-approle', { path: 'auth/approle/login', rate: 1_000_000 }),
    'vault_jwt_auth_backend_role.people["operator"]': () =>
      root('POST', 'auth/oidc/role/operator', {
        role_type: 'oidc',
        user_claim: 'sub',
        allowed_redirect_uris: [callback],
        bound_claims: {},
        token_policies: ['postern-operator'],
      }),
    'vault_generic_endpoint.replay_config': () => root('POST', 'postern-replay/config', { cas_required: false, max_versions: 1 }),
    'module.tenant["acme"].vault_generic_endpoint.assertion_config["acme"]': () =>
      root('POST', 'auth/postern-assertion/acme/config', { jwt_validation_pubkeys: [publicKey()], bound_issuer: '' }),
    'module.tenant["acme"].vault_generic_secret.assertion["acme"]': () =>
      root('POST', `postern/data/assertions/${outputs['tenants'].acme.role_id}`, { data: { tenant: 'globex', keys: [] } }),
    'module.tenant["globex"].vault_identity_entity.workload["deploy"]': () =>
      root('POST', 'identity/entity/name/postern.globex.deploy', { metadata: { postern_tenant: 'acme' } }),
    // OpenBao has it from its configuration.
    ...(productOf() === 'openbao' ? {} : { 'vault_audit.postern': () => root('DELETE', 'sys/audit/postern') }),
  };
  for (const change of Object.values(changes)) await change();
  const plan = await planTerraform(terraform);
  const planned = plan.text.split('\n').filter((line) => /^ {2}# .* (will|must) be /.test(line));
  for (const address of Object.keys(changes))
    expect(
      planned.some((line) => line.includes(address)),
      address,
    ).toBe(true);
  expect(planned).toHaveLength(Object.keys(changes).length);
  await applyTerraform(terraform);
  expect(await planTerraform(terraform)).toMatchObject({ changes: false });
});

test('each change of an API, a tenant or a registered key is announced, after all of it is written', async () => {
  const catalog = async () => (await root('GET', 'postern/data/state/catalog'))['data'];
  const first = await catalog();
  expect(first.data).toEqual({ digest: expect.stringMatching(/^[0-9a-f]{64}$/), disabled: [] });
  const { apis } = terraform.variables as { apis: Record<string, object> };
  const changed = {
    apis: { ...apis, billing: { ...apis['billing'], lifetime: 601 } },
    tenants: {
      acme: { ...tenants.acme, grants: [orders], assertion_keys: [{ pem: publicKey() }] },
      // Its Vault tokens are good from anywhere again.
      globex: { ...tenants.globex, disabled: true, vault_cidrs: [] },
    },
  };
  const variables = (more: object): TerraformOptions => ({ ...terraform, variables: { ...terraform.variables, ...more } });
  for (const one of [
    { apis: changed.apis },
    { tenants: { ...tenants, globex: changed.tenants.globex } },
    { tenants: { ...tenants, acme: { ...tenants.acme, assertion_keys: changed.tenants.acme.assertion_keys } } },
  ])
    expect((await planTerraform(variables(one))).text).toContain('vault_generic_secret.catalog will be updated');

  await applyTerraform(variables(changed));
  const second = await catalog();
  expect(second.data.disabled).toEqual(['globex']);
  expect((await root('GET', 'auth/approle/role/globex'))['data'].token_bound_cidrs).toEqual([]);
  expect(second.data.digest).not.toBe(first.data.digest);
  for (const path of ['apis/billing', 'tenants/acme', 'tenants/globex', `assertions/${outputs['tenants'].acme.role_id}`]) {
    const { updated_time: at } = (await root('GET', `postern/metadata/${path}`))['data'];
    expect(Date.parse(second.metadata.created_time), path).toBeGreaterThanOrEqual(Date.parse(at));
  }
  await applyTerraform(terraform);
  expect((await catalog()).data).toEqual(first.data);
}, 240_000);

test('a tenant is taken out in two steps: the first can be taken back, and without it the second is refused', async () => {
  const variables = (more: object): TerraformOptions => ({ ...terraform, variables: { ...terraform.variables, ...more } });
  const only = { tenants: { acme: tenants.acme } };
  const refused = await planTerraform(variables(only)).then(
    () => '',
    (error: Error) => error.message.replaceAll(/\s+/g, ' '),
  );
  expect(refused).toContain(
    'Taken out of the variable tenants without having been retired: globex. Put the line back with `retired = true`',
  );
  expect(refused).toContain('write "globex" into the variable cut_off');
  expect((await planTerraform(variables({ ...only, cut_off: ['globex'] }))).text).toMatch(/Plan: 0 to add, \d+ to change, \d+ to destroy/);

  const [acme, globex] = [credentials['acme']!, credentials['globex']!];
  const retired = variables({ tenants: { ...tenants, globex: { ...tenants.globex, retired: true } } });
  await applyTerraform(retired);
  // Vault lets it in still, and its token is good from nowhere.
  const mayRead = async (tenant: 'acme' | 'globex') => {
    const { auth } = await logIn('approle', credentials[tenant]!.roleId, credentials[tenant]!.secretId);
    return (await call(auth?.['client_token'], 'GET', `postern/data/tenants/${tenant}`)).status;
  };
  expect([await mayRead('globex'), await mayRead('acme')]).toEqual([403, 200]);
  expect((await root('GET', 'postern/data/tenants/globex'))['data'].data).toMatchObject({ disabled: true });
  expect((await root('GET', 'postern/data/state/catalog'))['data'].data).toMatchObject({ disabled: ['globex'] });
  expect((await root('GET', 'identity/entity/name/postern.globex.deploy'))['data'].policies).toEqual([]);
  const again = await planTerraform(retired);
  expect(again.changes, again.text).toBe(false);
  expect(again.text).not.toContain('Warning');

  // Taken back, nothing is lost.
  expect((await planTerraform(terraform)).text).toMatch(/Plan: 0 to add, \d+ to change, 0 to destroy/);
  await applyTerraform(terraform);
  expect((await root('GET', 'auth/approle/role/globex'))['data'].token_bound_cidrs).toContain('192.0.2.8');
  expect((await root('GET', 'identity/entity/name/postern.globex.deploy'))['data'].policies).toEqual(['postern-workload']);

  // What Terraform never made goes by the CLI, in between or afterwards.
  await applyTerraform(retired);
  await root('POST', 'postern-tokens/data/globex/orders', { data: {} });
  await root('POST', 'postern/data/keys/globex', { data: {} });
  const client = new VaultClient({ address: vault.address, timeoutMs: 20_000 });
  try {
    await deleteTenant(new VaultAccess({ client, token: new VaultToken(vault.rootToken) }), 'globex');
  } finally {
    await client.close();
  }
  await applyTerraform(variables(only));
  expect((await logIn('approle', globex.roleId, globex.secretId)).status).toBe(400);
  expect((await logIn('approle', acme.roleId, acme.secretId)).status).toBe(200);
  for (const path of ['postern/metadata/tenants/globex', 'postern/metadata/keys/globex', 'postern-tokens/metadata/globex/orders'])
    expect((await call(vault.rootToken, 'GET', path)).status, path).toBe(404);
  expect((await call(vault.rootToken, 'GET', 'identity/entity/name/postern.globex.deploy')).status).toBe(404);
  expect((await root('GET', 'postern/data/state/terraform'))['data'].data).toEqual({ tenants: { acme: 'active' } });
  expect(await planTerraform(variables(only))).toMatchObject({ changes: false });
}, 240_000);

test('a tenant that comes back gets a new identity: its old credential stays dead', async () => {
  outputs = (await applyTerraform(terraform)).outputs;
  const old = credentials['globex']!;
  expect(outputs['tenants'].globex.role_id).not.toBe(old.roleId);
  for (const roleId of [old.roleId, outputs['tenants'].globex.role_id]) {
    expect((await logIn('approle', roleId, old.secretId)).status).toBe(400);
  }
});

test('the checkout is as clean as before', async () => {
  const files = await readdir(new URL('../../terraform', import.meta.url), { recursive: true });
  expect(files.filter((file) => /\.terraform|tfstate|override/.test(file))).toEqual([]);
});

test('destroy leaves nothing', async () => {
  await destroyTerraform(terraform);
  expect(await inventory()).toEqual(before);
});

test('and another apply brings everything back', async () => {
  await applyTerraform(terraform);
  expect(await planTerraform(terraform)).toMatchObject({ changes: false });
  await destroyTerraform(terraform);
  expect(await inventory()).toEqual(before);
});
