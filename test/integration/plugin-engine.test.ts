import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { metricsIn, panelQueries } from '#test/fixture/dashboards.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';
import type { PluginVault } from '#test/fixture/plugin.ts';
import { checkout } from '#tools/part/version.ts';
import { join } from 'node:path';

/*
 * The secrets engine inside a real Vault on a persistent storage, with the stand-in for Auth0: what a tenant, an operator
 * and a Vault Agent see of it.
 */

const CLIENT = 'postern-shared-m2m';
/** May rotate the shared application's secret, once Auth0 grants it the Management API. */
const ROTATOR = 'postern-rotation';
const ORDERS = 'https://orders.example.com';
const SECRET = randomBytes(32).toString('base64url');
const ROTATOR_SECRET = randomBytes(32).toString('base64url');
const TENANT_CLAIM = 'https://postern.dev/tenant';

let vault: PluginVault;
let auth0: Auth0StandIn;

beforeAll(async () => {
  registerSecret('auth0 client_secret', SECRET);
  registerSecret('auth0 client_secret', ROTATOR_SECRET);
  auth0 = await startAuth0({
    account: {
      clients: [
        { id: CLIENT, metadata: { postern: 'broker' }, secrets: [SECRET], grantTypes: ['client_credentials'] },
        { id: ROTATOR, metadata: {}, secrets: [ROTATOR_SECRET], grantTypes: ['client_credentials'] },
      ],
      apis: [{ audience: ORDERS, scopes: ['read:orders', 'write:orders'] }],
      grants: [{ clientId: CLIENT, audience: ORDERS, scopes: ['read:orders', 'write:orders'] }],
      organizations: [],
      people: [],
      action: readFileSync(join(checkout, 'terraform/modules/auth0/action.js'), 'utf8'),
    },
  });
  vault = await startPluginVault({ logLevel: 'debug', config: 'raw_storage_endpoint = true' });
  await vault.register(await vault.installEntry());
  await vault.enable();
});

afterAll(async () => {
  await vault?.stop();
  await auth0?.stop();
});

interface Creds {
  access_token: string;
  expires_in: number;
  [field: string]: unknown;
}

async function creds(tenant: string, query = '', token?: string): Promise<Creds> {
  const { status, json } = await vault.call('GET', `auth0/creds/${tenant}${query}`, undefined, token);
  if (status !== 200) throw new Error(`creds/${tenant}: ${status} ${JSON.stringify(json)}`);
  registerSecret('access token', json['data'].access_token);
  return json['data'];
}

const tokenCalls = (): number => auth0.calls.token;

describe('set up', () => {
  test('nothing works before it is configured, and every answer says what to do', async () => {
    expect(await vault.call('GET', 'auth0/config')).toMatchObject({ status: 404 });
    expect(await vault.call('GET', 'auth0/creds/acme')).toMatchObject({
      status: 404,
      json: { errors: [expect.stringContaining('there is no role acme')] },
    });
    expect(await vault.call('POST', 'auth0/roles/acme', { grants: { orders: [] } })).toMatchObject({
      status: 400,
      json: { errors: [expect.stringContaining('write apis/orders first')] },
    });
    expect(await vault.call('LIST', 'auth0/roles')).toMatchObject({ status: 404 });
  });

  test('config, apis, roles: written, read without the secret, listed', async () => {
    await vault.root('POST', 'auth0/config', { issuer: auth0.issuer, client_id: CLIENT, client_secret: SECRET });
    await vault.root('POST', 'auth0/apis/orders', { audience: ORDERS, scopes: 'read:orders,write:orders' });
    await vault.root('POST', 'auth0/roles/acme', { grants: 'orders=read:orders write:orders' });
    await vault.root('POST', 'auth0/roles/globex', { grants: { orders: ['read:orders'] } });
    const { data: config } = await vault.root('GET', 'auth0/config');
    expect(config).toMatchObject({ issuer: auth0.issuer, client_id: CLIENT, binding: 'action', timeout: 5 });
    expect(JSON.stringify(config)).not.toContain(SECRET);
    expect((await vault.root('LIST', 'auth0/apis'))['data']).toEqual({ keys: ['orders'] });
    expect((await vault.root('LIST', 'auth0/roles'))['data']).toEqual({ keys: ['acme', 'globex'] });
    expect((await vault.root('GET', 'auth0/roles/acme'))['data'].grants).toEqual([
      { api: 'orders', scopes: ['read:orders', 'write:orders'] },
    ]);
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ configured: true, cached_tokens: 0, upstream_calls: 0 });
  });

  test.each([
    ['an unknown field', 'auth0/config', { issuer_url: 'x' }, 'issuer_url'],
    ['a wrong type', 'auth0/roles/acme', { disabled: 'perhaps' }, 'disabled must be true or false'],
    ['an http issuer elsewhere', 'auth0/config', { issuer: 'http://auth0.example.com/', client_secret: 'x' }, 'issuer must be'],
    ['a scope that the API has not', 'auth0/roles/acme', { grants: { orders: ['delete:orders'] } }, 'no scope delete:orders'],
    ['a malformed name', 'auth0/roles/ACME', { grants: {} }, 'the tenant in this path must be'],
  ])('%s is a 400 with its reason, and changes nothing', async (_, path, body, reason) => {
    const { status, json } = await vault.call('POST', path, body);
    expect({ status, said: json['errors'][0] }).toEqual({ status: 400, said: expect.stringContaining(reason) });
    expect((await vault.root('GET', 'auth0/roles/acme'))['data']).toMatchObject({
      disabled: false,
      grants: [{ api: 'orders', scopes: ['read:orders', 'write:orders'] }],
    });
  });

  test('a rotation without an application of its own is refused, and says what to write', async () => {
    const { status, json } = await vault.call('POST', 'auth0/config/rotate');
    expect({ status, said: json['errors'][0] }).toEqual({
      status: 400,
      said: expect.stringContaining('management_client_secret to config'),
    });
  });

  test('a rotation that Auth0 does not allow names what is missing, and changes nothing', async () => {
    await vault.root('POST', 'auth0/config', { management_client_id: ROTATOR, management_client_secret: ROTATOR_SECRET });
    expect(JSON.stringify(await vault.root('GET', 'auth0/config'))).not.toContain(ROTATOR_SECRET);
    const { status, json } = await vault.call('POST', 'auth0/config/rotate', { exclusive: true });
    expect({ status, said: json['errors'][0] }).toEqual({
      status: 400,
      said: expect.stringMatching(
        /nothing has changed: [\s\S]*client grant for the audience \S+\/api\/v2\/ with the scope update:client_keys/,
      ),
    });
    expect((await vault.root('GET', 'auth0/config'))['data']).toMatchObject({
      client_secret_rotated_at: null,
      previous_client_secret_until: null,
    });
  });

  test('path-help teaches: the root lists the paths, each path its fields; Vault takes the OpenAPI document', async () => {
    const root = await vault.root('GET', 'auth0?help=1');
    for (const path of [
      'config',
      'config/rotate',
      'apis/<api>',
      'roles/<tenant>',
      'creds/<tenant>',
      'revoke/<tenant>',
      'tokens/<tenant>/<api>',
      'info',
    ])
      expect(root['help']).toContain(`    ${path}\n`);
    expect((await vault.root('GET', 'auth0/config?help=1'))['help']).toMatch(/client_secret \(string, required\)[\s\S]*never shown again/);
    expect((await vault.root('GET', 'auth0/creds/acme?help=1'))['help']).toMatch(/audience \(string\)/);
    const openapi = await vault.root('GET', 'sys/internal/specs/openapi');
    expect(openapi['paths']['/auth0/creds/{tenant}'].get.parameters.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['audience', 'scope']),
    );
  });
});

describe('creds', () => {
  test('1,000 first readers at once cost Auth0 one call', async () => {
    const before = tokenCalls();
    const found = await Promise.all(Array.from({ length: 1_000 }, () => creds('acme')));
    expect(new Set(found.map(({ access_token: token }) => token)).size).toBe(1);
    expect(tokenCalls() - before).toBe(1);
    expect(decodeJwt(found[0]?.access_token ?? '')).toMatchObject({
      aud: ORDERS,
      [TENANT_CLAIM]: 'acme',
      scope: 'read:orders write:orders',
    });
    const { data: info } = await vault.root('GET', 'auth0/info');
    expect(info).toMatchObject({ upstream_calls: 1, upstream_ok: 1, config_unsaved: false });
    expect(info['reads_from_memory'] + info['reads_from_storage'] + info['reads_from_auth0']).toBe(1_000);
  });

  test('what Prometheus reads through Vault says the same as info, to who may read it, and no name, id or secret', async () => {
    const { data: info } = await vault.root('GET', 'auth0/info');
    const scrape = (token: string) => fetch(`${vault.address}/v1/auth0/metrics`, { headers: { Authorization: `Bearer ${token}` } });
    const { data: policy } = { data: { policy: 'path "auth0/metrics" { capabilities = ["read"] }' } };
    await vault.root('POST', 'sys/policies/acl/prometheus', policy);
    const { auth } = await vault.root('POST', 'auth/token/create', { policies: ['prometheus'], no_default_policy: true, period: '1h' });
    const told = await scrape(auth['client_token']);
    expect(told.status).toBe(200);
    expect(told.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await told.text();
    expect(text).toContain(`postern_plugin_reads_total{outcome="granted",source="memory"} ${info['reads_from_memory']}\n`);
    expect(text).toContain(`postern_plugin_source_requests_total{outcome="ok"} ${info['upstream_ok']}\n`);
    expect(text).toContain(`postern_plugin_cached_tokens ${info['cached_tokens']}\n`);
    for (const secret of [SECRET, CLIENT, 'acme', 'globex', ORDERS]) expect(text).not.toContain(secret);
    expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length).toBeLessThan(30);
    expect((await vault.call('GET', 'auth0/info', undefined, auth['client_token'])).status).toBe(403);
    const page = await readFile(join(checkout, 'docs/plugin-paths.md'), 'utf8');
    const names = [...text.matchAll(/^# TYPE (postern_\w+) /gm)].map(([, name]) => name);
    expect(names.sort()).toEqual([...page.matchAll(/^\| `(postern_\w+)` \|/gm)].map(([, name]) => name).sort());
    for (const { file, expr } of await panelQueries())
      if (file === 'plugin.json')
        for (const name of metricsIn(expr).filter((one) => !one.startsWith('vault_')))
          expect(text, name).toMatch(new RegExp(`^${name}[ {]`, 'm'));
  });

  test('audience and scope by the query, as `vault read` sends them', async () => {
    const narrow = await creds('acme', `?audience=${encodeURIComponent(ORDERS)}&scope=read:orders`);
    expect(decodeJwt(narrow.access_token)).toMatchObject({ scope: 'read:orders', [TENANT_CLAIM]: 'acme' });
    expect(await vault.call('GET', 'auth0/creds/acme?scope=delete:orders')).toMatchObject({
      status: 400,
      json: { errors: [expect.stringContaining('delete:orders')] },
    });
    expect(await vault.call('GET', 'auth0/creds/acme?audience=https://nowhere')).toMatchObject({ status: 400 });
  });

  test('a policy that allows one tenant denies its neighbour', async () => {
    await vault.root('PUT', 'sys/policies/acl/only-acme', { policy: 'path "auth0/creds/acme" { capabilities = ["read"] }' });
    const { auth } = await vault.root('POST', 'auth/token/create', { policies: ['only-acme'], no_default_policy: true });
    registerSecret('Vault token', auth.client_token);
    expect(decodeJwt((await creds('acme', '', auth.client_token)).access_token)).toMatchObject({ [TENANT_CLAIM]: 'acme' });
    for (const path of [
      'auth0/creds/globex',
      'auth0/creds/acme/../globex',
      'auth0/config',
      'auth0/roles/acme',
      'auth0/tokens/acme/orders',
    ]) {
      expect((await vault.call('GET', path, undefined, auth.client_token)).status, path).toBe(403);
    }
    expect((await vault.call('DELETE', 'auth0/creds/acme', undefined, auth.client_token)).status).toBe(403);
  });

  test('while Auth0 is away, a cached token is served, and another tenant gets a 503', async () => {
    const first = await creds('acme');
    auth0.faults.set({ kind: 'status', status: 503 });
    try {
      expect((await creds('acme')).access_token).toBe(first.access_token);
      const { status, json } = await vault.call('GET', 'auth0/creds/globex');
      expect({ status, said: json['errors'][0] }).toEqual({
        status: 503,
        said: expect.stringContaining('The token issuer is not available'),
      });
    } finally {
      auth0.faults.clear();
    }
    // Nobody asks Auth0 before the time it was given to recover is over.
    await expect.poll(async () => (await vault.call('GET', 'auth0/creds/globex')).status, { timeout: 10_000, interval: 200 }).toBe(200);
    expect(decodeJwt((await creds('globex')).access_token)).toMatchObject({ [TENANT_CLAIM]: 'globex' });
  });

  test('a disabled role is a 403 from the next read on', async () => {
    await vault.root('POST', 'auth0/roles/globex', { disabled: true });
    expect(await vault.call('GET', 'auth0/creds/globex')).toMatchObject({
      status: 403,
      json: { errors: [expect.stringContaining('disabled')] },
    });
    await vault.root('POST', 'auth0/roles/globex', { disabled: false });
    await creds('globex');
  });

  test('dropping a cached token says that one handed out lives on', async () => {
    const first = await creds('globex');
    await sleep(1_100);
    const dropped = await vault.root('POST', 'auth0/revoke/globex');
    expect(dropped['warnings'][0]).toContain('good until they expire');
    expect((await creds('globex')).access_token).not.toBe(first.access_token);
  });
});

describe('a role that names its client, on a Vault with two auth methods', () => {
  const POLICY = 'path "auth0/creds/umbrella" { capabilities = ["read"] }';

  /** Makes the AppRole umbrella, or makes it again under its name. */
  async function appRole(): Promise<string> {
    await vault.root('POST', 'auth/approle/role/umbrella', { token_type: 'batch', token_policies: ['umbrella'] });
    return String((await vault.root('GET', 'auth/approle/role/umbrella/role-id'))['data'].role_id);
  }

  async function login(roleId: string): Promise<string> {
    const { data } = await vault.root('POST', 'auth/approle/role/umbrella/secret-id');
    registerSecret('secret_id', data.secret_id);
    const { auth } = await vault.root('POST', 'auth/approle/login', { role_id: roleId, secret_id: data.secret_id });
    registerSecret('Vault token', auth.client_token);
    return String(auth.client_token);
  }

  const statusFor = async (token?: string): Promise<number> => (await vault.call('GET', 'auth0/creds/umbrella', undefined, token)).status;

  test('it is read by that client, and by none who had the name before or is somebody else', async () => {
    await vault.root('POST', 'sys/auth/approle', { type: 'approle' });
    await vault.root('PUT', 'sys/policies/acl/umbrella', { policy: POLICY });
    const grants = { orders: ['read:orders'] };
    const formerId = await appRole();
    const former = await login(formerId);
    await vault.root('POST', 'auth0/roles/umbrella', { grants, client_id: formerId });
    await creds('umbrella', '', former);
    // A root token may read every path, but is not the tenant's.
    expect(await statusFor()).toBe(404);

    await vault.root('DELETE', 'auth/approle/role/umbrella');
    await vault.root('DELETE', 'auth0/roles/umbrella');
    expect(await statusFor(former)).toBe(404);
    const roleId = await appRole();
    await vault.root('POST', 'auth0/roles/umbrella', { grants, client_id: roleId });
    expect(await statusFor(former)).toBe(404);
    const ours = await login(roleId);
    await creds('umbrella', '', ours);
  });

  test('a workload is known by the metadata of its entity', async () => {
    await vault.root('POST', 'sys/auth/userpass', { type: 'userpass' });
    await vault.root('POST', 'auth/userpass/users/job', { password: 'workload-password', token_type: 'batch' });
    const accessor = String((await vault.root('GET', 'sys/auth'))['data']['userpass/'].accessor);
    const clientId = String((await vault.root('GET', 'auth0/roles/umbrella'))['data'].client_id);
    for (const [id, allowed] of [
      ['another-client', 404],
      [clientId, 200],
    ] as const) {
      const { data } = await vault.root('POST', 'identity/entity', {
        name: `workload-${id}`,
        policies: ['umbrella'],
        metadata: { postern_tenant: 'umbrella', postern_client_id: id },
      });
      await vault.root('POST', 'identity/entity-alias', { name: 'job', mount_accessor: accessor, canonical_id: data.id });
      const { auth } = await vault.root('POST', 'auth/userpass/login/job', { password: 'workload-password' });
      registerSecret('Vault token', auth.client_token);
      expect(await statusFor(auth.client_token), id).toBe(allowed);
      await vault.root('DELETE', `identity/entity/id/${data.id}`);
    }
  });

  test.each([
    ['disabled', (): Promise<unknown> => vault.root('POST', 'auth0/roles/umbrella', { disabled: true }), 403],
    ['deleted', (): Promise<unknown> => vault.root('DELETE', 'auth0/roles/umbrella'), 404],
  ])('while Auth0 hangs and the role is %s, no token comes of it', async (_, event, status) => {
    const { data } = await vault.root('GET', 'auth0/roles/umbrella');
    const token = await login(data.client_id);
    await vault.root('POST', 'auth0/revoke/umbrella');
    const before = tokenCalls();
    auth0.faults.set({ kind: 'delay', milliseconds: 4_000 });
    try {
      const waiting = statusFor(token);
      await expect.poll(tokenCalls).toBe(before + 1);
      await event();
      expect(await waiting).toBe(status);
    } finally {
      auth0.faults.clear();
    }
    await vault.root('POST', 'auth0/roles/umbrella', { ...data, disabled: false });
    expect(await statusFor(token)).toBe(200);
  });

  afterAll(async () => {
    await vault.root('DELETE', 'auth0/roles/umbrella');
  });
});

describe('the store that brokers share', () => {
  const grant = 'A'.repeat(43);

  test('check-and-set: of two who saw the same, one is told 409', async () => {
    expect((await vault.call('GET', 'auth0/tokens/acme/orders')).status).toBe(404);
    const write = (cas: number) =>
      vault.call('POST', 'auth0/tokens/acme/orders', { cas, grant, lease: { holder: 'one', until: Date.now() + 60_000, paused: false } });
    const answers = await Promise.all([write(0), write(0), write(0)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    const { data } = await vault.root('GET', 'auth0/tokens/acme/orders');
    expect(data).toMatchObject({ grant, lease: { holder: 'one' } });
    expect((await write(data.version)).status).toBe(200);
    expect((await write(data.version)).status).toBe(409);
    expect((await vault.call('DELETE', 'auth0/tokens/acme/orders')).status).toBe(204);
    expect((await write(data.version)).status).toBe(409);
  });
});

describe('what ends, and comes back', () => {
  test('a restart of Vault on its storage keeps configuration and tokens', async () => {
    const calls = tokenCalls();
    const first = await creds('acme');
    await vault.restart();
    expect((await creds('acme')).access_token).toBe(first.access_token);
    expect((await vault.root('LIST', 'auth0/roles'))['data']).toEqual({ keys: ['acme', 'globex'] });
    expect(tokenCalls()).toBe(calls);
  });

  test('seal and unseal', async () => {
    const first = await creds('acme');
    await vault.seal();
    await expect.poll(async () => (await vault.call('GET', 'auth0/creds/acme')).status, { timeout: 10_000 }).toBe(503);
    await vault.unseal();
    expect((await creds('acme')).access_token).toBe(first.access_token);
  });

  test('a record that cannot be read, as after a half restore, ends nobody else, is told, and is mended by a write', async () => {
    const { uuid } = (await vault.root('GET', 'sys/mounts/auth0'))['data'];
    await vault.root('POST', `sys/raw/logical/${uuid}/apis/planted`, { value: '{' });
    const first = await creds('acme');
    await vault.restart();
    expect((await creds('acme')).access_token).toBe(first.access_token);
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ apis_invalid: 1 });
    expect((await vault.call('GET', 'auth0/apis/planted')).status).toBe(503);
    await vault.root('POST', 'auth0/apis/planted', { audience: 'https://planted.example.com', scopes: 'a' });
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ apis_invalid: 0 });
    await vault.root('DELETE', 'auth0/apis/planted');
    await creds('acme');
  });

  test("neither the secret nor a token is in Vault's log, in the plugin's arguments or in its storage as it is", async () => {
    const { access_token: token } = await creds('acme');
    const log = await vault.logs();
    const [pid] = await vault.plugins();
    const started =
      (await readFile(`/proc/${pid}/cmdline`, 'utf8')) +
      (await readFile(`/proc/${pid}/environ`, 'utf8')) +
      (await readlink(`/proc/${pid}/exe`));
    const files = await readdir(join(vault.folder, 'storage'), { recursive: true, withFileTypes: true });
    const stored = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1')),
    );
    for (const secret of [SECRET, ROTATOR_SECRET, token]) {
      expect(log.includes(secret)).toBe(false);
      expect(started.includes(secret)).toBe(false);
      expect(stored.some((text) => text.includes(secret))).toBe(false);
    }
  });
});
