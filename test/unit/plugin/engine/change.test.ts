import { beforeAll, describe, expect, test } from 'vitest';
import { CLIENT, keyPair, SECRET, TENANT_CLAIM } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { ORDERS, refusal, stage, subjectOf } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => void (key = await keyPair('kid-1')));

const ALL = { audience: ORDERS, scopes: 'read:orders,write:orders' };

/** Auth0 is asked for acme's token, and answers when it is let to. */
async function asking(s: Stage): Promise<{ waiting: Promise<Record<string, any>>; release: () => void }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  s.auth0.forge = async (payload) => {
    await promise;
    return s.auth0.sign(payload);
  };
  const waiting = s.read('creds/acme');
  waiting.catch(() => {});
  await expect.poll(() => s.auth0.exchanges.length).toBe(1);
  return { waiting, release: resolve };
}

describe('while Auth0 is asked', () => {
  test.each<readonly [string, (s: Stage) => Promise<unknown>]>([
    ['the same API is written again as it is', (s) => s.write('apis/orders', ALL)],
    ['another API is written', (s) => s.write('apis/billing', { audience: 'https://billing.example.com' })],
    ['a scope that the role has not is added', (s) => s.write('apis/orders', { scopes: 'read:orders,write:orders,delete:orders' })],
    ['the configuration is written again as it is', (s) => s.write('config', { timeout: 5 })],
    ['the application has a new secret', (s) => s.write('config', { client_secret: 'canary-upstream-secret-new' })],
    ['another life must be left', (s) => s.write('config', { min_remaining: 90 })],
    ['Auth0 may take longer', (s) => s.write('config', { timeout: 9 })],
  ])('%s: the token is what is granted still, and is kept', async (_, change) => {
    await using s = await stage(key);
    await s.setUp();
    const { waiting, release } = await asking(s);
    await change(s);
    // Who comes now waits for the same.
    const joined = s.read('creds/acme');
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    const [one, other] = await Promise.all([waiting, joined]);
    expect(other['access_token']).toBe(one['access_token']);
    expect(s.storage.json('cache/acme/orders/whole')['access_token']).toBe(one['access_token']);
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('changes come one after the other: readers get their tokens all the same, at one call each', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.forge = async (payload) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return s.auth0.sign(payload);
    };
    let on = true;
    const applying = (async () => {
      for (let i = 0; on; i++) {
        await s.write('apis/orders', ALL);
        await s.write(`apis/more-${i}`, { audience: `https://${i}.example.com` });
        await s.write('config', { min_remaining: 60 + i });
      }
    })();
    await Promise.all(['acme', 'globex'].map((tenant) => s.read(`creds/${tenant}`)));
    on = false;
    await applying;
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test.each<readonly [string, (s: Stage) => Promise<unknown>]>([
    ['another application', (s) => s.write('config', { client_id: 'another', client_secret: SECRET })],
    ['another claim', (s) => s.write('config', { tenant_claim: 'https://other.example.com/tenant' })],
    [
      'none, and the same again',
      async (s) => {
        await s.call('delete', 'config');
        await s.read('creds/globex').catch(() => {});
        await s.write('config', { issuer: s.auth0.issuer, client_id: CLIENT, client_secret: SECRET });
        await s.read('creds/nobody').catch(() => {});
      },
    ],
  ])('%s is configured: the token under way is neither handed out nor stored', async (_, change) => {
    await using s = await stage(key);
    await s.setUp();
    const { waiting, release } = await asking(s);
    await change(s);
    s.auth0.override = () => [503, {}];
    release();
    expect((await refusal(() => waiting)).status).toBe(503);
    expect(JSON.stringify([...s.storage.entries.values()].map(({ value }) => Buffer.from(value).toString()))).not.toContain('eyJ');
  });

  test('a scope is taken from the API: the token under way is neither handed out nor stored, and the next is without it', async () => {
    await using s = await stage(key);
    await s.setUp();
    const { waiting, release } = await asking(s);
    await s.write('apis/orders', { scopes: 'read:orders' });
    release();
    expect(subjectOf((await waiting)['access_token'])).toMatchObject({ scope: 'read:orders', [TENANT_CLAIM]: 'acme' });
    expect(s.storage.json('cache/acme/orders/whole')['scope']).toBe('read:orders');
    expect(s.auth0.exchanges).toHaveLength(2);
  });
});

describe('while storage is read', () => {
  test.each<readonly [string, (s: Stage) => Promise<unknown>, number | string]>([
    ['a scope is taken from the API', (s) => s.write('apis/orders', { scopes: 'read:orders' }), 'read:orders'],
    ['a scope is taken from the role', (s) => s.write('roles/acme', { grants: { orders: ['read:orders'] } }), 'read:orders'],
    ['the API is deleted', (s) => s.call('delete', 'apis/orders'), 403],
    ['the configuration is deleted', (s) => s.call('delete', 'config'), 400],
    ['another claim is configured', (s) => s.write('config', { tenant_claim: 'https://other.example.com/tenant' }), 503],
  ])('%s: what lies there is not handed out for what was granted before', async (_, change, expected) => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.restart();
    await s.read('creds/globex');
    const { promise, resolve } = Promise.withResolvers<void>();
    const get = s.storage.get.bind(s.storage);
    s.storage.get = async (path) => {
      const found = await get(path);
      if (path.startsWith('cache/acme')) await promise;
      return found;
    };
    const reading = s.read('creds/acme');
    reading.catch(() => {});
    await expect.poll(() => s.storage.calls).toContain('get cache/acme/orders/whole');
    await change(s);
    resolve();
    if (typeof expected === 'number') expect((await refusal(() => reading)).status).toBe(expected);
    else expect(subjectOf((await reading)['access_token'])['scope']).toBe(expected);
  });
});

describe('with tokens at hand', () => {
  test('an API that is written as it is leaves them in memory', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.write('apis/orders', ALL);
    await s.write('apis/billing', { audience: 'https://billing.example.com' });
    s.storage.calls.length = 0;
    await s.read('creds/acme');
    expect(s.storage.calls).toEqual([]);
  });

  test('an audience that moves to another API is read from where that one keeps its tokens', async () => {
    await using s = await stage(key);
    await s.setUp();
    const before = await s.read('creds/acme');
    await s.call('delete', 'apis/orders');
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(403);
    await s.write('apis/moved', ALL);
    await s.write('roles/acme', { grants: { moved: ['read:orders', 'write:orders'] } });
    s.auth0.claims = { jti: 'another' };
    expect((await s.read('creds/acme'))['access_token']).not.toBe(before['access_token']);
    expect(s.storage.json('cache/acme/moved/whole')['scope']).toBe('read:orders write:orders');
  });

  test('a scope that is taken from an API is in none that is handed out afterwards', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.write('apis/orders', { scopes: 'read:orders' });
    expect(subjectOf((await s.read('creds/acme'))['access_token'])['scope']).toBe('read:orders');
    expect((await refusal(() => s.read('creds/acme', { scope: 'write:orders' }))).status).toBe(400);
  });

  test('another application has none of the former in memory, and asks in its own name', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.write('config', { client_id: 'another', client_secret: SECRET });
    await s.read('creds/globex').catch(() => {});
    expect(s.auth0.parametersOf(1)['client_id']).toBe('another');
    expect(await s.read('info')).toMatchObject({ upstream_calls: s.auth0.exchanges.length });
  });
});

describe('a pause that Auth0 asked for', () => {
  const paused = async (s: Stage): Promise<void> => {
    await s.setUp();
    for (const tenant of ['one', 'two', 'three']) await s.write(`roles/${tenant}`, { grants: { orders: ['read:orders'] } });
    s.auth0.override = () => [429, { error: 'too_many_requests' }, { 'retry-after': '600' }] as never;
    expect((await refusal(() => s.read('creds/acme'))).message).toContain('try again in 600 s');
  };

  test('holds over changes of APIs and of what the source is not made from', async () => {
    await using s = await stage(key);
    await paused(s);
    await s.write('apis/orders', { scopes: 'read:orders' });
    await refusal(() => s.read('creds/one'));
    await s.write('config', { client_secret: 'canary-upstream-secret-new', min_remaining: 90 });
    await refusal(() => s.read('creds/two'));
    await s.write('config', { client_id: 'another', client_secret: SECRET });
    await refusal(() => s.read('creds/three'));
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('is not that of another issuer', async () => {
    await using s = await stage(key);
    await using other = await stage(key);
    await paused(s);
    await s.write('config', { issuer: other.auth0.issuer, client_secret: SECRET });
    await s.read('creds/one');
    expect(other.auth0.exchanges).toHaveLength(1);
  });
});
