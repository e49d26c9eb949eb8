import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import type { TerraformOptions } from '#dev/terraform.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';
import { productOf } from '#tools/part/server.ts';
import { postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';
import { startManagement } from './terraform-management.ts';
import type { ManagementStandIn } from './terraform-management.ts';

/** What a remedy calls the server's own CLI. */
const CLI = productOf() === 'openbao' ? 'bao' : 'vault';

interface Check {
  name: string;
  status: 'ok' | 'warning' | 'failed' | 'skipped';
  seen: string;
  remedy: string;
}

const checksOf = (ran: Ran): Check[] => ran.json['checks'] as Check[];
const failedOf = (ran: Ran): string[] => checksOf(ran).flatMap(({ name, status }) => (status === 'failed' ? [name] : []));
const named = (ran: Ran, name: string): Check | undefined => checksOf(ran).find((check) => check.name === name);

async function operatorOf(root: (path: string, data: object) => Promise<{ auth?: Record<string, unknown> | null }>): Promise<string> {
  const { auth } = await root('auth/token/create', { policies: ['postern-operator'], no_default_policy: true, ttl: '1h' });
  const token = String(auth?.['client_token']);
  registerSecret('operator token', token);
  return token;
}

describe('doctor, of Vault and the broker', () => {
  let house: House;
  let env: Record<string, string>;
  const undo: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    house = await startHouse();
    env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await operatorOf((path, data) => house.root.write(path, { ...data })) };
  });
  afterEach(async () => {
    for (const step of undo.splice(0).toReversed()) await step();
  });
  afterAll(() => house?.stop());

  const doctor = (args: readonly string[] = [], more: Record<string, string> = {}): Promise<Ran> =>
    postern(['doctor', '--json', ...args], { env: { ...env, ...more } });

  test('finds nothing wrong in what Terraform made, and says what it could not look at', async () => {
    const replica = await house.startReplica();
    const ran = await doctor(['--url', replica.issuer]);
    expect(failedOf(ran)).toEqual([]);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toBe('');
    for (const name of [
      'mount: auth/approle',
      'mount: postern',
      'lockout: auth/approle',
      'policy: postern-tenant',
      'policy: postern-workload',
      'policy: postern-operator',
      'transit: signing key',
      'cached tokens: clean-up',
      'upstream credential',
      'broker: ready',
      'broker: discovery',
      'broker: JWKS',
    ]) {
      expect(named(ran, name)?.status, name).toBe('ok');
    }
    // Operators have nothing on the broker's own role.
    expect(named(ran, 'broker: role')?.status).toBe('skipped');
    expect(named(ran, 'audit')).toMatchObject({ status: 'warning', remedy: expect.stringContaining('second') as string });
    // From the lifetimes as Terraform wrote them, the longest first.
    expect(named(ran, 'revocation: worst case')).toMatchObject({
      status: 'ok',
      seen: expect.stringContaining('orders 86400 s, payroll 3600 s, reports 3600 s') as string,
    });

    const { auth } = await house.root.write('auth/token/create', { policies: ['postern-auditor'], no_default_policy: true, ttl: '1h' });
    registerSecret('auditor token', String(auth?.['client_token']));
    const audited = await doctor([], { VAULT_TOKEN: String(auth?.['client_token']) });
    expect(failedOf(audited)).toEqual([]);
    expect(named(audited, 'broker: role')?.status).toBe('ok');
    await replica.stop();

    const gone = await doctor(['--url', replica.issuer]);
    expect(failedOf(gone)).toEqual(['broker: ready']);
    expect(gone.code).toBe(6);
  });

  test('says it to people too, without colours in a pipe', async () => {
    const { code, stdout, stderr } = await postern(['doctor'], { env });
    expect(code).toBe(0);
    expect(stdout).toContain('✓ lockout: auth/approle: off');
    expect(stdout).toMatch(/\d+ ok, \d+ warnings, 0 failed/);
    expect(stdout).not.toContain('\u001B');
    expect(stderr).toBe('');
  });

  test('of many tenants some are looked at one by one, and what lists tell is told of all', async () => {
    const { root } = house;
    for (const name of ['many-1', 'many-2', 'many-3']) {
      await root.write(`auth/approle/role/${name}`, { token_policies: ['postern-tenant'], token_type: 'batch' });
      undo.push(() => root.delete(`auth/approle/role/${name}`));
    }
    const all = (await doctor(['--tenants', 'all'])).json['checks'] as { name: string; seen: string }[];
    const count = Number(/^(\d+):/.exec(all.find(({ name }) => name === 'tenants')?.seen ?? '')?.[1]);
    expect(count).toBeGreaterThan(4);
    const ran = await doctor(['--tenants', '4']);
    expect(named(ran, 'tenants')?.seen).toMatch(
      new RegExp(`^4 of ${count}, chosen at random \\(--tenants all looks at each\\): .* 3 incomplete$`),
    );
    // Roles without a document are found by the lists, so chance doesn't leave them out.
    expect(failedOf(ran).filter((name) => name.startsWith('tenant: '))).toEqual(['tenant: many-1', 'tenant: many-2', 'tenant: many-3']);
    expect((await postern(['doctor', '--tenants', '0'], { env })).code).toBe(2);
  });

  test('finds each fault that people make in Vault, with its remedy', async () => {
    const { root } = house;
    const policy = (await root.read('sys/policies/acl/postern-tenant'))?.data?.['policy'];
    await root.write('sys/auth/approle/tune', { token_type: 'default-service', user_lockout_config: { lockout_disable: false } });
    undo.push(() => root.write('sys/auth/approle/tune', { token_type: 'batch', user_lockout_config: { lockout_disable: true } }));
    await root.write('sys/policies/acl/postern-tenant', { policy: `${String(policy)}\npath "postern/*" { capabilities = ["read"] }\n` });
    undo.push(() => root.write('sys/policies/acl/postern-tenant', { policy }));
    await root.write('auth/approle/role/legacy', { token_policies: ['default'], token_type: 'service' });
    undo.push(() => root.delete('auth/approle/role/legacy'));
    await root.write('postern/data/tenants/stray', {
      data: {
        grants: [
          { api: 'gone', scopes: [] },
          { api: 'orders', scopes: ['fly'] },
        ],
      },
    });
    undo.push(() => root.delete('postern/metadata/tenants/stray'));
    await root.write('postern/data/apis/twin', { data: { audience: 'https://orders.example.com', source: 'transit' } });
    undo.push(() => root.delete('postern/metadata/apis/twin'));
    await root.write('postern/data/apis/broken', { data: { audience: 7 } });
    undo.push(() => root.delete('postern/metadata/apis/broken'));
    await root.write('postern-tokens/config', { max_versions: 5, delete_version_after: '0s' });
    undo.push(() => root.write('postern-tokens/config', { max_versions: 1, delete_version_after: '90000s' }));
    const quota = (await root.read('sys/quotas/rate-limit/postern-approle'))?.data ?? {};
    await root.delete('sys/quotas/rate-limit/postern-approle');
    undo.push(() => root.write('sys/quotas/rate-limit/postern-approle', { path: quota['path'], rate: quota['rate'] }));

    await root.write('postern/data/state/epoch', { data: { epoch: 1, disabled: ['ghost'], recent: [] } });
    undo.push(() => root.delete('postern/metadata/state/epoch'));

    const ran = await doctor();
    expect(ran.code).toBe(6);
    expect(named(ran, 'announcements')).toMatchObject({
      status: 'warning',
      remedy: expect.stringContaining('postern tenant delete ghost --yes') as string,
    });
    expect(named(ran, 'lockout: auth/approle')).toMatchObject({
      status: 'failed',
      remedy: expect.stringContaining(`${CLI} auth tune -user-lockout-disable=true approle/`) as string,
    });
    expect(named(ran, 'policy: postern-tenant')).toMatchObject({
      status: 'failed',
      remedy: expect.stringContaining('terraform apply') as string,
    });
    expect(named(ran, 'policy: postern-broker')?.status).toBe('ok');
    expect(named(ran, 'tenant: legacy')?.seen).toMatch(/service tokens.*policies default/);
    expect(named(ran, 'tenant: stray')?.seen).toMatch(/no AppRole role.*API gone.*fly/);
    expect(named(ran, 'tenant: acme')).toBeUndefined();
    expect(named(ran, 'api: twin')?.seen).toContain('same audience as orders');
    expect(named(ran, 'api: broken')?.status).toBe('failed');
    expect(named(ran, 'cached tokens: clean-up')?.status).toBe('warning');
    expect(named(ran, 'approle: rate limit')?.status).toBe('warning');
    await root.write('sys/quotas/rate-limit/postern-approle', { path: 'auth/approle/', rate: 2000 });
    expect(named(await doctor(), 'approle: rate limit')).toMatchObject({
      status: 'warning',
      seen: expect.stringContaining('keeps operators out') as string,
    });
    for (const check of checksOf(ran))
      if (check.status === 'failed' || check.status === 'warning') expect(check.remedy, check.name).not.toBe('');
  });

  test('names documents without client_id, lives that are too long, Management audiences and rotations that nobody can read', async () => {
    const { root } = house;
    await root.write('postern/data/tenants/former', { data: { grants: [] } });
    undo.push(() => root.delete('postern/metadata/tenants/former'));
    await root.write('auth/approle/role/former', { token_policies: ['postern-tenant'], token_type: 'batch', token_ttl: 31_536_000 });
    undo.push(() => root.delete('auth/approle/role/former'));
    await root.write('postern/data/keys/former', { data: { rotations: 'none' } });
    undo.push(() => root.delete('postern/metadata/keys/former'));
    await root.write('postern/data/apis/management', { data: { audience: 'https://acme.eu.auth0.com/api/v2/', source: 'auth0' } });
    undo.push(() => root.delete('postern/metadata/apis/management'));
    const ran = await doctor();
    expect(named(ran, 'tenants: client_id')).toMatchObject({
      status: 'warning',
      seen: expect.stringContaining('former') as string,
      remedy: expect.stringContaining('postern tenant create former --update') as string,
    });
    expect(named(ran, 'tenants: client_id')?.seen).not.toContain('acme');
    expect(named(ran, 'tenant: former')).toMatchObject({ status: 'failed', seen: expect.stringContaining('31536000 s') as string });
    expect(named(ran, 'API keys: rotations: former')?.status).toBe('failed');
    expect(named(ran, 'api: management')).toMatchObject({ status: 'failed', seen: expect.stringContaining('Management API') as string });
  });

  test('tells a Vault that is away, sealed or set up elsewhere', async () => {
    const away = await doctor([], { VAULT_ADDR: 'http://127.0.0.1:9' });
    expect(failedOf(away)).toEqual(['vault: reachable']);
    expect(away.code).toBe(6);
    const wrongToken = await doctor([], { VAULT_TOKEN: 'hvs.wrong' });
    expect(failedOf(wrongToken)).toEqual(['vault: your token']);
    const elsewhere = await doctor([], { POSTERN_KV_MOUNT: 'elsewhere', POSTERN_TRANSIT_KEY: 'other' });
    expect(failedOf(elsewhere)).toEqual(expect.arrayContaining(['mount: elsewhere']));
    await house.root.write('sys/seal');
    try {
      expect(named(await doctor(), 'vault: reachable')).toMatchObject({
        status: 'failed',
        seen: expect.stringContaining('sealed') as string,
        remedy: expect.stringContaining('unseal') as string,
      });
    } finally {
      await fetch(`${house.vault.address}/v1/sys/unseal`, { method: 'PUT', body: JSON.stringify({ key: house.vault.unsealKey }) });
    }
  });
});

describe('doctor, of the secrets plugin beside the documents', () => {
  let house: House;
  let env: Record<string, string>;
  beforeAll(async () => {
    house = await startHouse({ plugin: true, variables: { plugin: {} } });
    env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await operatorOf((path, data) => house.root.write(path, { ...data })) };
  }, 240_000);
  afterAll(() => house?.stop());
  const doctor = (): Promise<Ran> => postern(['doctor', '--json'], { env });

  test('what Terraform wrote to both is alike; each difference is named', async () => {
    const { root } = house;
    const good = await doctor();
    expect(failedOf(good)).toEqual([]);
    expect(named(good, 'plugin: apis')?.status).toBe('ok');
    expect(named(good, 'plugin: roles')).toMatchObject({ status: 'ok', seen: expect.stringContaining('2, as in') as string });

    await root.write('auth0/apis/stray', { audience: 'https://stray.example.com', scopes: ['x'] });
    await root.write('auth0/apis/orders', { scopes: ['read:orders', 'write:orders', 'delete:orders'] });
    await root.write('auth0/roles/ghost', { grants: { orders: ['read:orders'] } });
    await root.write('auth0/roles/acme', { disabled: true, client_id: 'somebody-else', grants: { orders: ['delete:orders'] } });
    const ran = await doctor();
    expect(ran.code).toBe(6);
    expect(named(ran, 'plugin: apis: stray')?.status).toBe('warning');
    expect(named(ran, 'plugin: apis: orders')?.seen).toContain('scopes');
    expect(named(ran, 'plugin: roles: ghost')).toMatchObject({ status: 'failed', remedy: `${CLI} delete auth0/roles/ghost` });
    expect(named(ran, 'plugin: roles: acme')?.seen).toMatch(/disabled there and enabled here; its client_id is another; its grants differ/);
    expect(named(ran, 'plugin: roles: globex')).toBeUndefined();
  });
});

/*
 * Auth0 itself can't be reached from a test. The `auth0` package speaks here to the stand-in of the Management API in
 * terraform-management.ts, which serves what the real Terraform provider wrote into it, over https.
 */
describe('doctor and upstream import, of Auth0', () => {
  let vault: VaultFixture;
  let management: ManagementStandIn;
  let folder: string;
  let terraform: TerraformOptions;
  let clientId: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    [vault, management, folder] = await Promise.all([startVault(), startManagement(), mkdtemp(join(tmpdir(), 'postern-doctor-'))]);
    registerSecret('Management API token', String(management.environment['AUTH0_API_TOKEN']));
    terraform = {
      vaultAddress: vault.address,
      vaultToken: await terraformToken(vault),
      stateDirectory: folder,
      variables: {
        apis: {
          orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders', 'write:orders'] },
          reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports'] },
        },
        tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
        auth0: { domain: management.domain },
      },
      environment: management.environment,
    };
    const { outputs } = await applyTerraform(terraform);
    for (const secret of management.secrets) registerSecret('Auth0 secret', secret);
    clientId = (outputs['auth0'] as { client_id: string }).client_id;
    env = {
      VAULT_ADDR: vault.address,
      VAULT_TOKEN: await operatorOf(root),
      AUTH0_DOMAIN: management.domain,
      AUTH0_MGMT_TOKEN: String(management.environment['AUTH0_API_TOKEN']),
      NODE_EXTRA_CA_CERTS: String(management.environment['SSL_CERT_FILE']),
    };
  });
  afterAll(async () => {
    await Promise.all([vault?.stop(), management?.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  async function root(path: string, data?: object): Promise<Record<string, any>> {
    const response = await fetch(`${vault.address}/v1/${path}`, {
      method: data ? 'POST' : 'GET',
      headers: { 'X-Vault-Token': vault.rootToken },
      ...(data ? { body: JSON.stringify(data) } : {}),
    });
    return (await response.json()) as Record<string, any>;
  }

  const cli = (args: readonly string[], more: Record<string, string | undefined> = {}): Promise<Ran> =>
    postern([...args, '--json'], { env: { ...env, ...more } });

  test('import takes the secret from Auth0 to Vault, and nobody sees it', async () => {
    expect(named(await cli(['doctor']), 'upstream credential')).toMatchObject({
      status: 'failed',
      remedy: expect.stringContaining('postern upstream import') as string,
    });
    const ran = await cli(['upstream', 'import']);
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.json).toMatchObject({ client_id: clientId, version: 1 });
    const secret = management.clients.get(clientId)?.['client_secret'] as string;
    expect(`${ran.stdout}${ran.stderr}`.includes(secret)).toBe(false);
    const { data } = (await root('postern/data/upstream/auth0'))['data'];
    expect(data).toEqual({ client_id: clientId, client_secret: secret });
  });

  test('what Terraform made passes', async () => {
    const ran = await cli(['doctor']);
    expect(failedOf(ran)).toEqual([]);
    expect(ran.code).toBe(0);
    for (const name of ['auth0: shared application', 'auth0: API orders', 'auth0: grant for orders', 'auth0: Action'])
      expect(named(ran, name)?.status, name).toBe('ok');
    // Tokens of this API are Postern's own: Auth0 need not know it.
    expect(named(ran, 'auth0: API reports')).toBeUndefined();
    expect(named(ran, 'upstream credential')?.status).toBe('ok');
  });

  test.each<[string, (m: ManagementStandIn) => void, string, RegExp, string[]?]>([
    [
      'an API that lacks a scope',
      (m) => Object.assign(m.apis.values().next().value ?? {}, { scopes: [{ value: 'read:orders' }] }),
      'auth0: API orders',
      /write:orders/,
    ],
    [
      'an API signed with HS256',
      (m) => Object.assign(m.apis.values().next().value ?? {}, { signing_alg: 'HS256' }),
      'auth0: API orders',
      /HS256/,
    ],
    ['no such API', (m) => m.apis.clear(), 'auth0: API orders', /no API/],
    [
      'a grant that lacks a scope',
      (m) => Object.assign(m.grants.values().next().value ?? {}, { scope: ['read:orders'] }),
      'auth0: grant for orders',
      /write:orders/,
    ],
    ['no grant', (m) => m.grants.clear(), 'auth0: grant for orders', /no grant/],
    [
      'an application without client_credentials',
      (m) => Object.assign(m.clients.get(clientId) ?? {}, { grant_types: [] }),
      'auth0: shared application',
      /client_credentials/,
    ],
    ['no application', (m) => m.clients.clear(), 'auth0: shared application', /mark/],
    ['an Action that is not bound', (m) => m.bound.splice(0), 'auth0: Action', /no Action|not bound/],
    [
      'an Action that is not deployed',
      (m) => Object.assign(m.actions.values().next().value ?? {}, { deployed_version: undefined }),
      'auth0: Action',
      /not deployed/,
    ],
    ['tenants without an organization', () => {}, 'auth0: organizations', /acme/, ['--binding', 'organization']],
    [
      'grants that take no organization',
      () => {},
      'auth0: grant for orders',
      /organization/,
      ['--binding', 'organization', '--client-id', '{client}'],
    ],
  ])('finds %s', async (_, spoil, name, seen, options = []) => {
    const kept = structuredClone({
      clients: management.clients,
      apis: management.apis,
      grants: management.grants,
      actions: management.actions,
      bound: management.bound,
    });
    spoil(management);
    try {
      // With binding by organization the application itself must take one, too.
      if (options.includes('{client}')) Object.assign(management.clients.get(clientId) ?? {}, { organization_usage: 'allow' });
      const ran = await cli(['doctor', ...options.map((option) => option.replace('{client}', clientId))]);
      expect(ran.code).toBe(6);
      const check = checksOf(ran).find((one) => one.name === name && one.status === 'failed');
      expect(check?.seen ?? JSON.stringify(checksOf(ran).filter(({ name }) => name.startsWith('auth0')))).toMatch(seen);
      expect(check?.remedy).not.toBe('');
    } finally {
      for (const part of ['clients', 'apis', 'grants', 'actions'] as const) {
        management[part].clear();
        for (const [key, value] of kept[part]) management[part].set(key, value);
      }
      management.bound.splice(0, Infinity, ...kept.bound);
    }
  });

  test('a Management token that Auth0 refuses, a malformed address, no token', async () => {
    expect(named(await cli(['doctor'], { AUTH0_MGMT_TOKEN: 'wrong' }), 'auth0: shared application')).toMatchObject({
      status: 'failed',
      remedy: expect.stringContaining('/api/v2/') as string,
    });
    expect((await cli(['upstream', 'import'], { AUTH0_MGMT_TOKEN: 'wrong' })).code).toBe(3);
    expect((await cli(['upstream', 'import'], { AUTH0_DOMAIN: 'https://x.auth0.com/api' })).code).toBe(2);
    expect((await cli(['upstream', 'import'], { AUTH0_MGMT_TOKEN: undefined })).code).toBe(2);
    expect((await cli(['upstream', 'import'], { AUTH0_DOMAIN: 'localhost:9' })).code).toBe(5);
    expect((await cli(['upstream', 'import', '--client-id', 'nobody'])).code).toBe(4);
  });
});
