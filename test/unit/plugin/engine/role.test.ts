import { beforeAll, describe, expect, test } from 'vitest';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { ORDERS, refusal, stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

describe('apis', () => {
  test('written, read, listed, changed, deleted', async () => {
    await using s = await stage(key);
    expect(await s.call('list', 'apis/')).toBeUndefined();
    await s.write('apis/orders', { audience: ORDERS, scopes: ['read:orders'] });
    await s.write('apis/billing', { audience: 'https://billing.example.com', source: 'auth0' });
    expect(await s.call('list', 'apis/')).toEqual({ data: { keys: ['billing', 'orders'] } });
    expect(await s.read('apis/orders')).toEqual({ audience: ORDERS, scopes: ['read:orders'], source: 'auth0' });
    await s.write('apis/orders', { scopes: 'a, b,a' });
    expect(await s.read('apis/orders')).toEqual({ audience: ORDERS, scopes: ['a', 'b'], source: 'auth0' });
    await s.write('apis/orders', { scopes: '["c"]' });
    expect((await s.read('apis/orders'))['scopes']).toEqual(['c']);
    await s.call('delete', 'apis/orders');
    expect(await s.call('read', 'apis/orders')).toBeUndefined();
  });

  test.each([
    [{}, /audience is required/],
    [{ audience: ORDERS, source: 'transit' }, /source must be one of auth0/],
    [{ audience: ORDERS, scopes: ['read orders'] }, /scopes\.0 must be an OAuth scope/],
    [{ audience: ORDERS, scopes: [7] }, /scopes\.0 must be text/],
    [{ audience: ORDERS, scopes: 7 }, /scopes must be a list, or text separated by commas/],
    [{ audience: ORDERS, scopes: '["a"' }, /scopes must be a list/],
    [{ audience: 'https://taken.example.com' }, /already that of the API taken/],
    [{ audience: 'https://acme.eu.auth0.com/api/v2/' }, /Management API/],
    [{ audience: 'https://LOGIN.example.com//api/v2' }, /Management API/],
    [{ audience: 'x'.repeat(1_025) }, /at most 1024/],
    [{ audience: ORDERS, lifetime: 60 }, /"lifetime" is not a field here/],
  ])('%j is a 400', async (data, message) => {
    await using s = await stage(key);
    await s.write('apis/taken', { audience: 'https://taken.example.com' });
    const said = await refusal(() => s.write('apis/orders', data));
    expect(said).toEqual({ status: 400, message: expect.stringMatching(message) });
  });
});

test('an API with a Management audience that an older version stored is left out, and the others stay', async () => {
  await using s = await stage(key);
  const document = { audience: 'https://acme.eu.auth0.com/api/v2/', source: 'auth0', scopes: ['update:client_keys'] };
  await s.storage.put('apis/management', new TextEncoder().encode(JSON.stringify(document)), false);
  await s.write('apis/orders', { audience: ORDERS, scopes: 'read:orders' });
  expect(await s.call('read', 'apis/management')).toBeUndefined();
  expect((await refusal(() => s.write('roles/acme', { grants: { management: ['update:client_keys'] } }))).message).toContain(
    'there is no API management',
  );
  await s.write('roles/acme', { grants: { orders: ['read:orders'] } });
});

describe('roles', () => {
  test.each([
    ['by API', { orders: ['read:orders'] }],
    ['by API, as JSON in text', '{"orders":["read:orders"]}'],
    ['as the broker keeps them', [{ api: 'orders', scopes: ['read:orders'] }]],
    ['the same as JSON in text', '[{"api":"orders","scopes":["read:orders"]}]'],
    ['by the CLI', 'orders=read:orders'],
    ['by the CLI, several', ['orders=read:orders']],
  ])('grants %s', async (_, grants) => {
    await using s = await stage(key);
    await s.write('apis/orders', { audience: ORDERS, scopes: 'read:orders,write:orders' });
    await s.write('roles/acme', { grants });
    expect(await s.read('roles/acme')).toEqual({
      grants: [{ api: 'orders', scopes: ['read:orders'] }],
      default_api: null,
      client_id: null,
      organization: null,
      claims: {},
      disabled: false,
      min_remaining: null,
    });
    expect(s.storage.json('roles/acme')).toEqual({ grants: [{ api: 'orders', scopes: ['read:orders'] }], claims: {}, disabled: false });
  });

  test('a role whose API has gone can be disabled; its grants are looked at when they are written', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.call('delete', 'apis/orders');
    await s.write('roles/acme', { disabled: true });
    expect((await refusal(() => s.read('creds/acme'))).message).toBe('Client is disabled');
    expect((await refusal(() => s.write('roles/acme', { grants: { orders: ['read:orders'] } }))).message).toContain(
      'there is no API orders',
    );
  });

  test('listed, changed field by field, put back to defaults', async () => {
    await using s = await stage(key);
    await s.setUp();
    expect(await s.call('list', 'roles/')).toEqual({ data: { keys: ['acme', 'globex'] } });
    expect(await s.call('list', 'roles')).toEqual({ data: { keys: ['acme', 'globex'] } });
    await s.write('roles/acme', { organization: 'org_acme', default_api: 'orders', min_remaining: '1h', disabled: true });
    expect(await s.read('roles/acme')).toMatchObject({
      organization: 'org_acme',
      default_api: 'orders',
      min_remaining: 3_600,
      disabled: true,
      grants: [{ api: 'orders' }],
    });
    await s.write('roles/acme', { organization: null, default_api: null, min_remaining: null, disabled: null, grants: null });
    expect(await s.read('roles/acme')).toMatchObject({
      organization: null,
      default_api: null,
      min_remaining: null,
      disabled: false,
      grants: [],
    });
  });

  test('claims are kept, with a warning that Auth0 must set them', async () => {
    await using s = await stage(key);
    await s.setUp();
    const answer = await s.write('roles/acme', { claims: { 'https://example.com/plan': 'gold' } });
    expect(answer?.warnings?.[0]).toContain('Action');
    expect((await s.read('roles/acme'))['claims']).toEqual({ 'https://example.com/plan': 'gold' });
  });

  test.each([
    [{ grants: { nowhere: [] } }, /no API nowhere: write apis\/nowhere first/],
    [{ grants: { orders: ['delete:orders'] } }, /API orders has no scope delete:orders/],
    [{ grants: [{ api: 'orders' }, { api: 'orders' }] }, /there twice/],
    [{ grants: 'orders' }, /grants must be/],
    [{ grants: 7 }, /grants must be/],
    [{ grants: '{"orders":' }, /grants is not JSON/],
    [{ grants: { ORDERS: [] } }, /grants.0.api/],
    [{ grants: { orders: [7] } }, /grants.0.scopes/],
    [{ default_api: 'orders', grants: {} }, /default_api must be one of the granted/],
    [{ claims: { plan: 'gold' } }, /claims/],
    [{ claims: 'plan' }, /claims must be an object/],
    [{ disabled: 'yes' }, /disabled must be true or false/],
    [{ min_remaining: '2d' }, /min_remaining must be from 0 to 86400/],
    [{ organization: '' }, /organization must not be empty/],
    [{ ttl: '1h' }, /"ttl" is not a field here/],
    [JSON.parse('{"__proto__": {"disabled": true}}') as Record<string, unknown>, /"__proto__" is not a field here/],
  ])('%j is a 400, and nothing is written', async (data, message) => {
    await using s = await stage(key);
    await s.setUp();
    const before = s.storage.json('roles/acme');
    const said = await refusal(() => s.write('roles/acme', data));
    expect(said).toEqual({ status: 400, message: expect.stringMatching(message) });
    expect(s.storage.json('roles/acme')).toEqual(before);
  });

  test('a write that storage refuses leaves the role as it was', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    s.storage.failing = /^put roles/;
    expect((await refusal(() => s.write('roles/acme', { disabled: true }))).status).toBe(503);
    s.storage.failing = undefined;
    await s.read('creds/acme');
  });

  test.each<readonly [string, 'update' | 'delete', Record<string, unknown>, string]>([
    ['a role is disabled', 'update', { disabled: true }, 'stored as it was written'],
    ['a role becomes the role of another client', 'update', { client_id: 'another' }, 'stored as it was written'],
    ['a role is deleted', 'delete', {}, 'deleted'],
  ])("%s, and its cached tokens can't be dropped: the answer says what is done and what is not", async (_, operation, data, done) => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    s.storage.failing = /^(list|delete) cache/;
    expect(await refusal(() => s.call(operation, 'roles/acme', data))).toEqual({
      status: 503,
      message:
        `roles/acme is ${done}, and that holds from now on; but Vault's storage did not let its cached tokens be dropped: ` +
        'delete creds/acme to have that, too',
    });
    s.storage.failing = undefined;
    expect((await refusal(() => s.read('creds/acme'))).status).toBeOneOf([403, 404]);
    expect((await s.call('delete', 'creds/acme'))?.data).toEqual({ dropped: 1 });
  });

  test('two who change it at once both have their way: nobody is enabled again by who widens its grants', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.delayMs = 5;
    await Promise.all([
      s.write('roles/globex', { disabled: true }),
      s.write('roles/globex', { grants: { orders: ['read:orders', 'write:orders'] } }),
      s.write('roles/globex', { min_remaining: 90 }),
    ]);
    expect(s.storage.json('roles/globex')).toMatchObject({
      disabled: true,
      grants: [{ api: 'orders', scopes: ['read:orders', 'write:orders'] }],
      min_remaining: 90,
    });
  });

  test('of two APIs that are written with one audience at once, one is refused', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.delayMs = 5;
    const written = await Promise.allSettled(
      ['one', 'two'].map((name) => s.write(`apis/${name}`, { audience: 'https://same.example.com' })),
    );
    expect(written.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('reading while it is written never keeps the old one', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.delayMs = 5;
    // Either may be too late, and is then refused.
    const read = () => s.read('creds/acme').catch(() => {});
    await Promise.all([read(), s.write('roles/acme', { disabled: true }), read()]);
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(403);
  });
});

describe('existence, by which Vault tells create from update', () => {
  test.each([
    ['config', true, false],
    ['apis/orders', true, false],
    ['roles/acme', true, false],
    ['tokens/acme/orders', false, false],
    ['creds/acme', undefined, undefined],
    ['revoke/acme', undefined, undefined],
    ['config/rotate', undefined, undefined],
    ['roles/ACME', undefined, undefined],
    ['nowhere', undefined, undefined],
  ])('%s', async (path, there, empty) => {
    await using full = await stage(key);
    await full.setUp();
    await using none = await stage(key);
    const ask = (s: typeof full) =>
      s.engine.handleExistenceCheck({
        id: 'r',
        operation: 'update',
        path,
        data: {},
        mountPoint: 'auth0/',
        displayName: '',
        entityId: '',
        storage: s.storage,
        system: s.system,
      });
    expect(await ask(full)).toBe(there);
    expect(await ask(none)).toBe(empty);
  });
});
