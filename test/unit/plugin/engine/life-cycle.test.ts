import { beforeAll, describe, expect, test } from 'vitest';
import type { Entity } from '#broker/plugin/backend.ts';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { ORDERS, refusal, stage, subjectOf } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

const OURS = 'b1c2f1f0-5c6b-4a8e-9d6f-000000000001';
const FORMER = 'b1c2f1f0-5c6b-4a8e-9d6f-000000000002';
const NOBODY = 'there is no role acme: an operator must write roles/acme, with the client_id of this client if any';

const appRole = (name: string): Entity => ({ aliases: [{ mountType: 'approle', name }], metadata: {} });
const workload = (metadata: Record<string, string>): Entity => ({ aliases: [{ mountType: 'kubernetes', name: 'sa' }], metadata });

describe('a role that names a client', () => {
  test.each([
    ['its own AppRole', appRole(OURS), true],
    ['the AppRole of a former tenant of this name', appRole(FORMER), false],
    ['another auth method whose alias is called alike', { aliases: [{ mountType: 'userpass', name: OURS }], metadata: {} }, false],
    ['a workload of the tenant', workload({ postern_tenant: 'acme', postern_client_id: OURS }), true],
    ['a workload of the former tenant', workload({ postern_tenant: 'acme', postern_client_id: FORMER }), false],
    ['a workload of another tenant', workload({ postern_tenant: 'globex', postern_client_id: OURS }), false],
    ['a workload without a client id', workload({ postern_tenant: 'acme' }), false],
    [
      "a former tenant's AppRole whose entity claims this client",
      { ...appRole(FORMER), metadata: { postern_tenant: 'acme', postern_client_id: OURS } },
      false,
    ],
    ['an entity that Vault does not know', undefined, false],
  ] as const)('is read by %s: %3$s', async (_, entity, allowed) => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('roles/acme', { client_id: OURS });
    expect((await s.read('roles/acme'))['client_id']).toBe(OURS);
    s.entityId = 'e-1';
    if (entity !== undefined) s.system.entities.set('e-1', entity as Entity);
    if (allowed) expect((await s.read('creds/acme'))['token_type']).toBe('Bearer');
    else expect(await refusal(() => s.read('creds/acme'))).toEqual({ status: 404, message: NOBODY });
    expect(s.auth0.exchanges).toHaveLength(allowed ? 1 : 0);
  });

  test('is read by nobody without an entity, and a refusal says the same as for a role that is not there', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('roles/acme', { client_id: OURS });
    const said = await refusal(() => s.read('creds/acme'));
    await s.call('delete', 'roles/acme');
    expect(await refusal(() => s.read('creds/acme'))).toEqual(said);
  });

  test('asks Vault about an entity once a minute, not at each read', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('roles/acme', { client_id: OURS });
    s.entityId = 'e-1';
    s.system.entities.set('e-1', appRole(OURS));
    for (let i = 0; i < 20; i++) await s.read('creds/acme');
    expect(s.system.entityCalls).toBe(1);
    s.clock.offset = 61_000;
    s.system.entities.set('e-1', appRole(FORMER));
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(404);
  });

  test('another client_id drops what was cached for the one before', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.write('roles/acme', { client_id: OURS });
    expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/acme'))).toEqual([]);
    s.entityId = 'e-1';
    s.system.entities.set('e-1', appRole(OURS));
    await s.read('creds/acme');
    await s.write('roles/acme', { client_id: FORMER });
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(404);
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test.each(['', 'a b', '../x', 'x'.repeat(129)])('client_id %j is a 400', async (clientId) => {
    await using s = await stage(key);
    await s.setUp();
    expect(await refusal(() => s.write('roles/acme', { client_id: clientId }))).toEqual({
      status: 400,
      message: expect.stringContaining('client_id'),
    });
  });
});

/** Auth0 hangs from here on, until it is let go. */
function hang(s: Stage): { reached: () => boolean; release: () => void } {
  const before = s.auth0.exchanges.length;
  const { promise, resolve } = Promise.withResolvers<void>();
  s.auth0.forge = async (payload) => {
    await promise;
    return s.auth0.sign({ ...payload, jti: String(Math.random()) });
  };
  return { reached: () => s.auth0.exchanges.length > before, release: resolve };
}

describe('while Auth0 hangs', () => {
  const EVENTS: readonly (readonly [string, (s: Stage) => Promise<unknown>, number])[] = [
    ['the role is disabled', (s) => s.write('roles/acme', { disabled: true }), 403],
    ['the role is deleted', (s) => s.call('delete', 'roles/acme'), 404],
    ['the API is taken from the role', (s) => s.write('roles/acme', { grants: {} }), 400],
    ['the role becomes the role of another client', (s) => s.write('roles/acme', { client_id: OURS }), 404],
    ['the API is deleted', (s) => s.call('delete', 'apis/orders'), 403],
    ['the configuration is deleted', (s) => s.call('delete', 'config'), 400],
  ];

  test.each(EVENTS)('%s: the token is neither handed out nor stored', async (_, event, status) => {
    await using s = await stage(key);
    await s.setUp();
    const auth0 = hang(s);
    const waiting = refusal(() => s.read('creds/acme'));
    await expect.poll(auth0.reached).toBe(true);
    await event(s);
    auth0.release();
    expect((await waiting).status).toBe(status);
    expect(JSON.stringify([...s.storage.entries.values()].map(({ value }) => Buffer.from(value).toString()))).not.toContain('eyJ');
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test.each(EVENTS)('and another node does it, as %s: the same', async (_, event, status) => {
    await using s = await stage(key);
    await s.setUp();
    await using other = await stage(key);
    await other.engine.initialize(s.storage, s.system);
    const auth0 = hang(other);
    await s.write('config', { issuer: other.auth0.issuer, client_secret: 'canary-upstream-secret-4f1d' });
    const waiting = refusal(() => other.read('creds/acme'));
    await expect.poll(auth0.reached).toBe(true);
    s.storage.calls.length = 0;
    await event(s);
    for (const call of s.storage.calls) if (/^(put|delete) /.test(call)) other.engine.invalidateKey(call.replace(/^\w+ /, ''));
    auth0.release();
    expect((await waiting).status).toBe(status);
    expect(JSON.stringify([...s.storage.entries.values()].map(({ value }) => Buffer.from(value).toString()))).not.toContain('eyJ');
  });

  test('a scope is taken from the role: the reader gets a token without it', async () => {
    await using s = await stage(key);
    await s.setUp();
    const auth0 = hang(s);
    const waiting = s.read('creds/acme');
    await expect.poll(auth0.reached).toBe(true);
    await s.write('roles/acme', { grants: { orders: ['read:orders'] } });
    auth0.release();
    expect(subjectOf((await waiting)['access_token'])).toMatchObject({ aud: ORDERS, scope: 'read:orders' });
    expect(s.storage.json('cache/acme/orders/whole')['scope']).toBe('read:orders');
  });

  test(
    'the role is deleted and made again for another client: the former one gets nothing, and its token is ' + 'not found by the new one',
    async () => {
      await using s = await stage(key);
      await s.setUp();
      await s.write('roles/acme', { client_id: FORMER });
      s.system.entities.set('former', appRole(FORMER));
      s.system.entities.set('ours', appRole(OURS));
      s.entityId = 'former';
      const auth0 = hang(s);
      const waiting = refusal(() => s.read('creds/acme'));
      await expect.poll(auth0.reached).toBe(true);
      await s.call('delete', 'roles/acme');
      await s.write('roles/acme', { grants: { orders: ['read:orders', 'write:orders'] }, client_id: OURS });
      auth0.release();
      expect((await waiting).status).toBe(404);
      s.entityId = 'ours';
      await s.read('creds/acme');
      expect(s.auth0.exchanges).toHaveLength(2);
    },
  );

  test('a setting is changed that grants as much as before: the token is kept, and Auth0 is not asked again', async () => {
    await using s = await stage(key);
    await s.setUp();
    const auth0 = hang(s);
    const waiting = s.read('creds/acme');
    await expect.poll(auth0.reached).toBe(true);
    await s.write('roles/acme', { min_remaining: 90 });
    auth0.release();
    expect((await waiting)['token_type']).toBe('Bearer');
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test.each([
    ['delete', 'creds/acme'],
    ['update', 'revoke/acme'],
  ] as const)('%s %s: whoever waits gets a token that was issued afterwards', async (operation, path) => {
    await using s = await stage(key);
    await s.setUp();
    const auth0 = hang(s);
    const waiting = s.read('creds/acme');
    await expect.poll(auth0.reached).toBe(true);
    expect((await s.call(operation, path))?.data).toEqual({ dropped: 0 });
    s.auth0.forge = (payload) => s.auth0.sign({ ...payload, jti: 'afterwards' });
    auth0.release();
    expect(subjectOf((await waiting)['access_token'])['jti']).toBe('afterwards');
    expect(subjectOf(String(s.storage.json('cache/acme/orders/whole')['access_token']))['jti']).toBe('afterwards');
  });
});

test.each([
  ['delete', 'creds/acme'],
  ['update', 'revoke/acme'],
] as const)('after a role was rewritten, %s %s drops the token of before it, too', async (operation, path) => {
  await using s = await stage(key);
  await s.setUp();
  const first = await s.read('creds/acme');
  await s.write('roles/acme', { min_remaining: 90 });
  expect((await s.call(operation, path))?.data).toEqual({ dropped: 1 });
  s.auth0.claims = { jti: 'another' };
  expect((await s.read('creds/acme'))['access_token']).not.toBe(first['access_token']);
});

test('a role that is disabled on another node is refused here, and its tokens are gone from memory and storage', async () => {
  await using s = await stage(key);
  await s.setUp();
  await using other = await stage(key);
  await other.engine.initialize(s.storage, s.system);
  await s.read('creds/acme');
  await other.read('creds/acme');
  s.storage.calls.length = 0;
  await s.write('roles/acme', { disabled: true });
  for (const call of s.storage.calls) if (/^(put|delete) /.test(call)) other.engine.invalidateKey(call.replace(/^\w+ /, ''));
  expect((await refusal(() => other.read('creds/acme'))).status).toBe(403);
  for (const one of [s, other]) expect((await one.read('info'))['cached_tokens']).toBe(0);
  expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/'))).toEqual([]);
});
