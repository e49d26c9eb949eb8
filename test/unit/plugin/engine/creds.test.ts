import { beforeAll, describe, expect, test } from 'vitest';
import { ReadOnly } from '#broker/plugin/backend.ts';
import { CLIENT, keyPair, SECRET, TENANT_CLAIM } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { ORDERS, refusal, stage, subjectOf } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

describe('creds', () => {
  test('a token of this tenant, with what a reader needs to read again in time', async () => {
    await using s = await stage(key);
    await s.setUp();
    const creds = await s.read('creds/acme');
    expect(subjectOf(creds['access_token'])).toMatchObject({ aud: ORDERS, scope: 'read:orders write:orders', [TENANT_CLAIM]: 'acme' });
    expect(creds).toMatchObject({ token_type: 'Bearer', scope: 'read:orders write:orders', rotation_period: 86_400 });
    expect(creds['expires_in']).toBeGreaterThan(86_390);
    expect(Date.parse(creds['expires_at'])).toBe(Number(subjectOf(creds['access_token'])['exp']) * 1000);
    // 75 to 85 % of its life, and a little for fetching the next.
    expect(creds['ttl']).toBeGreaterThanOrEqual(0.75 * 86_400);
    expect(creds['ttl']).toBeLessThanOrEqual(0.85 * 86_400 + 11);
    expect(Object.keys(creds).sort()).toEqual([
      'access_token',
      'expires_at',
      'expires_in',
      'rotation_period',
      'scope',
      'token_type',
      'ttl',
    ]);
  });

  test('a cached one costs neither Auth0 nor storage anything', async () => {
    await using s = await stage(key);
    await s.setUp();
    const first = await s.read('creds/acme');
    s.storage.calls.length = 0;
    for (let i = 0; i < 50; i++) expect((await s.read('creds/acme', { audience: ORDERS }))['access_token']).toBe(first['access_token']);
    expect((await s.read('creds/acme', { scope: 'write:orders read:orders' }))['access_token']).toBe(first['access_token']);
    expect(s.storage.calls).toEqual([]);
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('1,000 first readers at once cost Auth0 one call', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.restart();
    const tokens = await Promise.all(Array.from({ length: 1_000 }, () => s.read('creds/acme')));
    expect(new Set(tokens.map(({ access_token: token }) => token)).size).toBe(1);
    expect(s.auth0.exchanges).toHaveLength(1);
    expect((await s.read('info'))['upstream_calls']).toBe(1);
  });

  test('a tenant gets its own token, and no wider scopes than it asked for', async () => {
    await using s = await stage(key);
    await s.setUp();
    const [acme, globex, narrow] = await Promise.all([
      s.read('creds/acme'),
      s.read('creds/globex'),
      s.read('creds/acme', { scope: 'read:orders' }),
    ]);
    expect(subjectOf(globex['access_token'])).toMatchObject({ [TENANT_CLAIM]: 'globex', scope: 'read:orders' });
    expect(subjectOf(narrow['access_token'])).toMatchObject({ [TENANT_CLAIM]: 'acme', scope: 'read:orders' });
    expect(new Set([acme, globex, narrow].map((one) => one['access_token'])).size).toBe(3);
  });

  test.each([
    ['an audience that is not an API', { audience: 'https://nowhere.example.com' }, 400, /Service not enabled/],
    ['a scope that is not granted', { scope: 'delete:orders' }, 400, /not been granted scopes: delete:orders/],
    ['a malformed scope', { scope: 'read:"orders"' }, 400, /scope/],
    ['a foreign organization', { organization: 'org_globex' }, 403, /organization/],
    ['an unknown field', { audiences: ORDERS }, 400, /"audiences" is not a field here \(audience, scope, organization\)/],
    ['a list', { audience: [ORDERS, ORDERS] }, 400, /audience must be given once/],
    ['a number', { audience: 7 }, 400, /audience must be text/],
    ['a line break', { audience: `${ORDERS}\n` }, 400, /control characters/],
  ])('%s is refused without a call to Auth0', async (_, data, status, message) => {
    await using s = await stage(key);
    await s.setUp();
    const said = await refusal(() => s.read('creds/acme', data));
    expect(said.status).toBe(status);
    expect(said.message).toMatch(message);
    expect(s.auth0.exchanges).toHaveLength(0);
  });

  test('an unknown role is 404, one that is disabled 403, an API that is not granted 403', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('apis/billing', { audience: 'https://billing.example.com' });
    expect(await refusal(() => s.read('creds/nobody'))).toEqual({
      status: 404,
      message: 'there is no role nobody: an operator must write roles/nobody, with the client_id of this client if any',
    });
    expect((await refusal(() => s.read('creds/acme', { audience: 'https://billing.example.com' }))).status).toBe(403);
    await s.read('creds/acme');
    await s.write('roles/acme', { disabled: true });
    expect(await refusal(() => s.read('creds/acme'))).toEqual({ status: 403, message: 'Client is disabled' });
    expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/'))).toEqual([]);
    await s.write('roles/acme', { disabled: 'false' });
    await s.read('creds/acme');
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test('with several APIs and no default one, an audience is required', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('apis/billing', { audience: 'https://billing.example.com' });
    await s.write('roles/acme', { grants: { orders: ['read:orders'], billing: [] } });
    expect(await refusal(() => s.read('creds/acme'))).toEqual({
      status: 400,
      message: 'audience is required: this role has no default_api, and not just one API',
    });
    await s.write('roles/acme', { default_api: 'billing' });
    expect(subjectOf((await s.read('creds/acme'))['access_token'])['aud']).toBe('https://billing.example.com');
  });

  test.each([
    'creds/ACME',
    'creds/a_b',
    'creds/..',
    'creds/acme%2f',
    'creds/-acme',
    `creds/${'a'.repeat(64)}`,
    'creds/',
    'creds/ac me',
    'creds/*',
    'creds/+',
    'creds/\u0000',
  ])('%s names no tenant, and reaches no storage key', async (path) => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.calls.length = 0;
    expect((await refusal(() => s.read(path))).status).toBe(400);
    expect(s.storage.calls).toEqual([]);
  });

  test.each([
    '',
    'creds',
    'creds/acme/',
    'creds//acme',
    '/creds/acme',
    'creds/acme/orders',
    'nowhere',
    'tokens/acme/orders/x/y',
    '__proto__',
    'constructor/x',
  ])('%j is not a path', async (path) => {
    await using s = await stage(key);
    await s.setUp();
    expect((await refusal(() => s.call('read', path))).status).toBeOneOf([400, 404, 405]);
  });
});

describe('when Auth0 is away', () => {
  test('a cached token is served, and one that is due is tried again later', async () => {
    await using s = await stage(key);
    await s.setUp();
    const first = await s.read('creds/acme');
    s.auth0.override = () => [503, {}];
    s.clock.offset = 0.9 * 86_400_000;
    for (let i = 0; i < 5; i++) expect((await s.read('creds/acme'))['access_token']).toBe(first['access_token']);
    // A crowd of Agents is not to ask each second until Auth0 is back.
    expect((await s.read('creds/acme'))['ttl']).toBe(30);
    await expect.poll(() => s.log.text).toContain('could not be refreshed');
    expect(s.log.text).toContain('Auth0 answered 503');
    // One attempt, not five: the next one waits.
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test('without one: 503 with what to do, and nothing of the secret', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.override = () => [503, {}];
    const said = await refusal(() => s.read('creds/acme'));
    expect(said).toEqual({
      status: 503,
      message: 'The token issuer is not available. Tokens at hand are served while they live; try again in 2 s',
    });
    s.auth0.override = undefined;
  });

  test('a wrong secret is for an operator: 503, and the log says what to do', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.secrets = ['another'];
    expect((await refusal(() => s.read('creds/acme'))).message).toMatch(/an operator must mend this, and Vault's log says how/);
    expect(s.log.text).toMatch(/^error .*credential/m);
    expect(s.log.text).not.toContain(SECRET);
  });

  test('a token that is bound to another tenant is neither served nor kept', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.claims = { [TENANT_CLAIM]: 'globex' };
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
    expect(JSON.stringify([...s.storage.entries.values()].map(({ value }) => Buffer.from(value).toString()))).not.toContain('eyJ');
  });

  test('not configured: 400 with what to do', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.call('delete', 'config');
    expect(await refusal(() => s.read('creds/acme'))).toEqual({
      status: 400,
      message: 'this engine is not configured: write issuer, client_id and client_secret to config',
    });
  });
});

describe('storage', () => {
  test('a token outlives the process, seal-wrapped, and is not fetched again', async () => {
    await using s = await stage(key);
    await s.setUp();
    const first = await s.read('creds/acme');
    await s.restart();
    expect((await s.read('creds/acme'))['access_token']).toBe(first['access_token']);
    expect(s.auth0.exchanges).toHaveLength(1);
    for (const [path, { sealWrap }] of s.storage.entries) expect(sealWrap, path).toBe(path === 'config' || path.startsWith('cache/'));
    expect(s.engine.specialPaths.sealWrapStorage).toEqual(['config', 'cache/', 'tokens/']);
  });

  test('a process that died while it asked Auth0 keeps nobody waiting', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('config', { timeout: 1 });
    s.auth0.override = () => undefined as never;
    const hung = s.read('creds/acme').catch(() => {});
    await expect.poll(() => s.auth0.exchanges.length).toBe(1);
    expect(s.storage.json('cache/acme/orders/whole')['lease']).toBeDefined();
    await s.restart();
    s.auth0.override = undefined;
    const started = Date.now();
    await s.read('creds/acme');
    expect(Date.now() - started).toBeLessThan(1_000);
    await hung;
  });

  test.each(['get', 'put'])('where it fails to %s, there is a 503 and no call to Auth0; then all is well again', async (operation) => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.failing = new RegExp(`^${operation} cache/`);
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
    expect(s.auth0.exchanges).toHaveLength(0);
    expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/'))).toEqual([]);
    s.storage.failing = undefined;
    await s.read('creds/acme');
    expect(s.log.text).not.toContain('canary');
  });

  test('where it fails while Auth0 answers, the token is served and the log tells', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.forge = (payload) => {
      s.storage.failing = /^put/;
      return s.auth0.sign(payload);
    };
    const creds = await s.read('creds/acme');
    expect((await s.read('creds/acme'))['access_token']).toBe(creds['access_token']);
    expect(s.log.text).toContain('could not be refreshed or stored');
  });

  test('where a role can no longer be read, one in memory serves on, and another is a 503', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    s.storage.failing = /./;
    await s.read('creds/acme');
    expect((await refusal(() => s.read('creds/globex'))).status).toBe(503);
  });

  test('what is not a token there is overwritten', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.storage.put('cache/acme/orders/whole', new TextEncoder().encode('{"version":"x"}'));
    const creds = await s.read('creds/acme');
    expect(s.storage.json('cache/acme/orders/whole')['access_token']).toBe(creds['access_token']);
  });

  test('a standby serves what it has, and has Vault forward the rest', async () => {
    await using s = await stage(key);
    await s.setUp();
    const acme = await s.read('creds/acme');
    s.storage.readOnly = true;
    await s.restart();
    expect((await s.read('creds/acme'))['access_token']).toBe(acme['access_token']);
    await expect(s.read('creds/globex')).rejects.toBeInstanceOf(ReadOnly);
    await expect(s.write('roles/acme', { disabled: true })).rejects.toBeInstanceOf(ReadOnly);
    await expect(s.call('delete', 'creds/acme')).rejects.toBeInstanceOf(ReadOnly);
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('a standby on which the active node only notes that a token was asked for serves it on; one that is due is its affair', async () => {
    await using s = await stage(key);
    await s.setUp();
    const acme = await s.read('creds/acme');
    s.storage.readOnly = true;
    s.engine.invalidateKey('cache/acme/orders/whole');
    s.storage.calls.length = 0;
    expect((await s.read('creds/acme'))['access_token']).toBe(acme['access_token']);
    expect((await s.read('creds/acme'))['access_token']).toBe(acme['access_token']);
    expect(s.storage.calls).toEqual(['get cache/acme/orders/whole']);
    s.clock.offset = 0.9 * 86_400_000;
    expect((await s.read('creds/acme'))['access_token']).toBe(acme['access_token']);
    await expect.poll(() => s.storage.calls).toContain('put cache/acme/orders/whole');
    expect(s.log.text).toBe('');
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('what another node wrote is read again', async () => {
    await using s = await stage(key);
    await s.setUp();
    await using other = await stage(key);
    await other.engine.initialize(s.storage, s.system);
    const before = await other.read('creds/acme');
    await s.call('delete', 'creds/acme');
    s.auth0.claims = { jti: 'another' };
    const fresh = await s.read('creds/acme', {});
    expect(fresh['access_token']).not.toBe(before['access_token']);
    expect((await other.read('creds/acme'))['access_token']).toBe(before['access_token']);
    other.engine.invalidateKey('cache/acme/orders/whole');
    expect((await other.read('creds/acme'))['access_token']).toBe(fresh['access_token']);
    await s.write('roles/acme', { disabled: true });
    other.engine.invalidateKey('roles/acme');
    expect((await refusal(() => other.read('creds/acme'))).status).toBe(403);
    await s.write('apis/orders', { audience: 'https://new.example.com' });
    other.engine.invalidateKey('apis/orders');
    expect(subjectOf((await other.read('creds/globex'))['access_token'])['aud']).toBe('https://new.example.com');
    await s.call('delete', 'config');
    other.engine.invalidateKey('config');
    expect((await refusal(() => other.read('creds/globex'))).status).toBe(400);
  });
});

describe('taking back', () => {
  test.each([
    ['delete', 'creds/acme'],
    ['update', 'revoke/acme'],
  ] as const)("%s %s drops the cached tokens of this tenant alone, and says what it can't do", async (operation, path) => {
    await using s = await stage(key);
    await s.setUp();
    const [acme, narrow, globex] = [
      await s.read('creds/acme'),
      await s.read('creds/acme', { scope: 'read:orders' }),
      await s.read('creds/globex'),
    ];
    s.clock.offset = 2_000;
    const answer = await s.call(operation, path);
    expect(answer?.data).toEqual({ dropped: 2 });
    expect(answer?.warnings?.[0]).toMatch(/handed out already are JWTs.*good until they expire/);
    expect((await s.read('creds/globex'))['access_token']).toBe(globex['access_token']);
    s.auth0.claims = { jti: 'another' };
    expect((await s.read('creds/acme'))['access_token']).not.toBe(acme['access_token']);
    expect((await s.read('creds/acme', { scope: 'read:orders' }))['access_token']).not.toBe(narrow['access_token']);
    await s.restart();
    expect((await s.read('creds/acme'))['access_token']).not.toBe(acme['access_token']);
    expect(s.auth0.exchanges).toHaveLength(5);
  });

  test('a deleted role leaves no token behind', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.call('delete', 'roles/acme');
    expect([...s.storage.entries.keys()].filter((path) => path.includes('acme'))).toEqual([]);
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(404);
  });
});

describe('how much life is left', () => {
  test('a role may want more of it than the mount', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('roles/acme', { min_remaining: '6h' });
    const first = await s.read('creds/acme');
    expect(first['ttl']).toBeLessThanOrEqual(18 * 3600);
    s.clock.offset = 17 * 3_600_000;
    expect((await s.read('creds/acme'))['access_token']).toBe(first['access_token']);
    s.clock.offset = 19 * 3_600_000;
    s.auth0.claims = {
      iat: Math.floor((Date.now() + s.clock.offset) / 1000),
      exp: Math.floor((Date.now() + s.clock.offset) / 1000) + 86_400,
    };
    expect((await s.read('creds/acme'))['access_token']).not.toBe(first['access_token']);
  });

  test('ttl of a short-lived token ends before the token is served no more', async () => {
    await using s = await stage(key);
    await s.setUp();
    const iat = Math.floor(Date.now() / 1000);
    s.auth0.claims = { iat, exp: iat + 20 };
    const creds = await s.read('creds/acme');
    expect(creds['ttl']).toBeLessThanOrEqual(11);
    expect(creds['rotation_period']).toBe(20);
  });
});

test('the application is the shared one', async () => {
  await using s = await stage(key);
  await s.setUp();
  await s.read('creds/acme');
  expect(s.auth0.parametersOf(0)).toMatchObject({
    client_id: CLIENT,
    audience: ORDERS,
    postern_tenant: 'acme',
    scope: 'read:orders write:orders',
  });
});
