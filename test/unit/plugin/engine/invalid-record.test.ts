import { beforeAll, describe, expect, test } from 'vitest';
import { CLIENT, keyPair, SECRET } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { ORDERS, refusal, stage } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => void (key = await keyPair('kid-1')));

const NEW = 'https://new.example.com';
const OURS = 'b1c2f1f0-5c6b-4a8e-9d6f-000000000001';

/** As another version might have written it; text is no JSON at all. */
async function stored(s: Stage, path: string, document: object | string): Promise<void> {
  await s.storage.put(path, new TextEncoder().encode(typeof document === 'string' ? document : JSON.stringify(document)));
  await s.restart();
}

async function textOf(s: Stage): Promise<string> {
  return Buffer.from(String((await s.read('metrics'))['http_raw_body']), 'base64').toString('utf8');
}

describe('an API that is not valid', () => {
  const later = { audience: NEW, source: 'auth0', scopes: ['a'], dialect: 'of_a_later_version' };

  test.each([
    ['of another version', later],
    ['no JSON', '{'],
  ])('%s: is left out, and all that does not need it goes on', async (_, document) => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'apis/new', document);
    await s.read('creds/acme');
    await s.write('apis/third', { audience: 'https://third.example.com', scopes: 'a' });
    await s.write('roles/acme', { grants: { orders: ['read:orders'] } });
    await s.read('creds/acme');
    expect(s.log.lines).toEqual([
      expect.stringMatching(/^error this API is left out .*"api":"new".*apis\/new: .*Write it whole, or delete it/),
    ]);
    expect(await s.read('info')).toMatchObject({ apis_invalid: 1 });
    expect(await textOf(s)).toContain('postern_plugin_apis_invalid 1\n');
    expect(await s.call('list', 'apis')).toEqual({ data: { keys: ['new', 'orders', 'third'] } });
  });

  test('who needs it is told that an operator must mend it, and not that it is not granted', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('apis/new', { audience: NEW, scopes: 'a' });
    await s.write('roles/globex', { grants: { new: ['a'] } });
    await stored(s, 'apis/new', later);
    for (const run of [() => s.read('creds/globex'), () => s.read('creds/acme', { audience: NEW }), () => s.read('apis/new')])
      expect((await refusal(run)).status).toBe(503);
    expect(await refusal(() => s.write('roles/acme', { grants: { new: ['a'] } }))).toEqual({
      status: 400,
      message: 'grants: what is stored at apis/new is not valid: write it again first',
    });
  });

  test('is replaced by whoever writes it whole, and then serves', async () => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'apis/new', later);
    for (const part of [{ scopes: 'a' }, { audience: NEW }, {}])
      expect(await refusal(() => s.write('apis/new', part))).toEqual({
        status: 400,
        message: 'What is stored at apis/new is not valid, so that no part of it can be changed: write it whole, with audience and scopes',
      });
    // Its audience is still its own.
    expect((await refusal(() => s.write('apis/third', { audience: NEW, scopes: 'a' }))).message).toContain('already that of the API new');
    await s.write('apis/new', { audience: NEW, scopes: 'a' });
    await s.write('roles/globex', { grants: { new: ['a'] } });
    await s.read('creds/globex');
    expect(await s.read('info')).toMatchObject({ apis_invalid: 0 });
  });

  test('is deleted', async () => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'apis/new', later);
    await s.call('delete', 'apis/new');
    expect(await s.call('read', 'apis/new')).toBeUndefined();
  });

  test('storage that fails is not taken for that: nothing is left out, and nothing overwritten', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.restart();
    s.storage.failing = /^get apis\/orders/;
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
    expect((await refusal(() => s.write('apis/orders', { audience: ORDERS, scopes: 'other' }))).status).toBe(503);
    s.storage.failing = undefined;
    await s.read('creds/acme');
    expect(s.storage.json('apis/orders')['scopes']).toEqual(['read:orders', 'write:orders']);
  });
});

describe('a configuration that is not valid', () => {
  const broken = async (s: Stage): Promise<void> =>
    stored(s, 'config', { ...s.storage.json('config'), binding: 'of_a_later_version', timeout: 9 });
  const whole = (s: Stage) => ({ issuer: s.auth0.issuer, client_id: CLIENT, client_secret: SECRET });

  test('is told by info and metrics, which go on; so they do where storage fails', async () => {
    await using s = await stage(key);
    await s.setUp();
    expect(await s.read('info')).toMatchObject({ configured: true, config_readable: true });
    await broken(s);
    for (const failing of [undefined, /^get config/]) {
      s.storage.failing = failing;
      expect(await s.read('info')).toMatchObject({ configured: true, config_readable: false });
      expect(await textOf(s)).toMatch(/^postern_plugin_config_readable 0\npostern_|^postern_plugin_config_readable 0$/m);
      expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
      expect((await refusal(() => s.read('config'))).status).toBe(503);
    }
    s.storage.failing = undefined;
    await s.call('delete', 'config');
    expect(await s.read('info')).toMatchObject({ configured: false, config_readable: true });
  });

  test('is replaced by whoever writes it whole, and no part of it goes elsewhere', async () => {
    await using s = await stage(key);
    await s.setUp();
    await broken(s);
    const { issuer, client_id, client_secret } = whole(s);
    for (const part of [{ timeout: 7 }, { client_secret }, { issuer, client_id }, { issuer, client_secret }, { client_id, client_secret }])
      expect(await refusal(() => s.write('config', part))).toEqual({
        status: 400,
        message: expect.stringContaining('write it whole, with issuer, client_id and client_secret'),
      });
    expect((await s.write('config', whole(s)))?.warnings?.[0]).toContain('all of it is replaced');
    expect(await s.read('config')).toMatchObject({ binding: 'action', timeout: 5 });
    await s.read('creds/acme');
    expect(await s.read('info')).toMatchObject({ config_readable: true });
  });

  test('a rotation does not begin', async () => {
    let asked = 0;
    await using s = await stage(key, { rotate: async () => `canary-${asked++}` });
    await s.setUp();
    await broken(s);
    expect((await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).status).toBe(503);
    expect(asked).toBe(0);
  });

  test('storage that fails is not taken for that', async () => {
    await using s = await stage(key);
    await s.setUp();
    const before = s.storage.json('config');
    s.storage.failing = /^get config/;
    expect((await refusal(() => s.call('update', 'config', { ...whole(s), timeout: 7 }))).status).toBe(503);
    s.storage.failing = undefined;
    expect(s.storage.json('config')).toEqual(before);
  });
});

describe('a role that is not valid', () => {
  const PART = {
    status: 400,
    message:
      'What is stored at roles/acme is not valid, so that no part of it can be changed: write it whole, with grants and client_id (in ' +
      'JSON null where it has none), or with disabled=true, or delete it',
  };
  const grants = { orders: ['read:orders'] };

  test('is disabled: it keeps whose it is, and has no grants until somebody writes them', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await stored(s, 'roles/acme', { client_id: OURS, grants: 7 });
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
    await s.read('creds/globex');
    await s.write('roles/acme', { disabled: true });
    expect(await s.read('roles/acme')).toMatchObject({ disabled: true, client_id: OURS, grants: [] });
    expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/acme'))).toEqual([]);
    await s.write('roles/acme', { disabled: false });
    expect(await s.read('roles/acme')).toMatchObject({ client_id: OURS, grants: [] });
  });

  test('no part of it is changed', async () => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'roles/acme', { client_id: OURS, grants: 7 });
    for (const part of [{}, { disabled: false }, { client_id: OURS }, { min_remaining: 90, default_api: 'orders' }])
      expect(await refusal(() => s.write('roles/acme', part))).toEqual(PART);
    expect(s.storage.json('roles/acme')['grants']).toBe(7);
  });

  test.each([
    ['enabled', { client_id: OURS, grants: 7, disabled: false }, false],
    ['disabled', { client_id: OURS, grants: 7, disabled: true }, true],
    ['disabled, as another version may write that', { client_id: OURS, grants: 7, disabled: 'until further notice' }, true],
    ['perhaps disabled', { client_id: OURS, grants: 7, status: 'unknown here' }, true],
  ])('that was %s: whoever writes its grants neither opens it to others nor enables it by the way', async (_, document, disabled) => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'roles/acme', document);
    const answer = await s.write('roles/acme', { grants });
    expect(await s.read('roles/acme')).toMatchObject({ client_id: OURS, disabled, grants: [{ api: 'orders', scopes: ['read:orders'] }] });
    expect(answer?.warnings).toEqual([
      'What is stored at roles/acme is not valid: all of it is replaced' +
        (disabled ? '; it stays disabled until disabled=false is written' : ''),
    ]);
    await s.write('roles/acme', { disabled: false });
    expect((await s.read('roles/acme'))['disabled']).toBe(false);
  });

  test.each([
    ['no JSON', '{'],
    ['a client_id that is none', { client_id: { role: OURS }, grants: [], disabled: false }],
    ['no client_id where another version may have it elsewhere', { clients: [OURS], grants: 7, disabled: true }],
  ])('%s: whose it is must be said, and it stays disabled until somebody enables it', async (_, document) => {
    await using s = await stage(key);
    await s.setUp();
    for (const whose of [OURS, null]) {
      await stored(s, 'roles/acme', document);
      expect(await refusal(() => s.write('roles/acme', { grants }))).toEqual(PART);
      await s.write('roles/acme', { grants, client_id: whose });
      expect(await s.read('roles/acme')).toMatchObject({ client_id: whose, disabled: true });
    }
    await stored(s, 'roles/acme', document);
    expect((await s.write('roles/acme', { disabled: true }))?.warnings?.[0]).toContain('has no client_id now');
    expect(await s.read('roles/acme')).toMatchObject({ disabled: true, grants: [] });
  });

  test('is enabled again by whoever writes it whole and says so', async () => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'roles/acme', '{');
    await s.write('roles/acme', { grants, client_id: null, disabled: false });
    await s.read('creds/acme');
  });

  test('is deleted', async () => {
    await using s = await stage(key);
    await s.setUp();
    await stored(s, 'roles/acme', '{');
    await s.call('delete', 'roles/acme');
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(404);
  });

  test('storage that fails is not taken for that', async () => {
    await using s = await stage(key);
    await s.setUp();
    const before = s.storage.json('roles/acme');
    s.storage.failing = /^get roles\/acme/;
    expect((await refusal(() => s.call('update', 'roles/acme', { disabled: true }))).status).toBe(503);
    s.storage.failing = undefined;
    expect(s.storage.json('roles/acme')).toEqual(before);
  });
});
