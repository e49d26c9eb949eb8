import { withSecret } from '#broker/plugin/engine/config.ts';
import type { Config } from '#broker/plugin/engine/config.ts';
import { beforeAll, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { CLIENT, keyPair, SECRET } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { refusal, stage } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

const NEW = 'canary-upstream-secret-new';
const ROTATOR = { management_client_id: 'rotator', management_client_secret: 'canary-rotator-secret' };

async function setUp(s: Stage): Promise<void> {
  await s.setUp();
  await s.write('config', ROTATOR);
}

describe('config', () => {
  test('is written and read without the secret', async () => {
    await using s = await stage(key);
    expect(await s.call('read', 'config')).toBeUndefined();
    await s.write('config', { issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, timeout: '10s', min_remaining: 120 });
    const config = await s.read('config');
    expect(config).toEqual({
      issuer: 'https://acme.eu.auth0.com/',
      client_id: CLIENT,
      management_client_id: null,
      binding: 'action',
      tenant_claim: 'https://postern.dev/tenant',
      timeout: 10,
      min_remaining: 120,
      client_secret_written_at: expect.any(String),
      client_secret_rotated_at: null,
      previous_client_secret_until: null,
    });
    expect(s.storage.entries.get('config')?.sealWrap).toBe(true);
    await s.call('delete', 'config');
    expect(await s.call('read', 'config')).toBeUndefined();
    expect(s.storage.entries.size).toBe(0);
  });

  test('a later write changes what it names; null goes back to the default', async () => {
    await using s = await stage(key);
    await s.write('config', { issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, timeout: 10 });
    await s.write('config', { binding: 'organization', min_remaining: '5m' });
    expect(await s.read('config')).toMatchObject({ binding: 'organization', min_remaining: 300, timeout: 10, client_id: CLIENT });
    await s.write('config', { timeout: null });
    expect(await s.read('config')).toMatchObject({ timeout: 5 });
  });

  test.each([
    [{ client_id: CLIENT, client_secret: SECRET }, /issuer is required/],
    [{ issuer: 'acme.eu.auth0.com', client_secret: SECRET }, /client_id is required/],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT }, /client_secret is required/],
    [{ issuer: 'http://acme.eu.auth0.com/', client_id: CLIENT, client_secret: SECRET }, /issuer must be/],
    [{ issuer: 'https://acme.eu.auth0.com/path', client_id: CLIENT, client_secret: SECRET }, /issuer must be/],
    [{ issuer: 'https://user:pass@acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET }, /issuer must be/],
    [{ issuer: 'ftp://127.0.0.1/', client_id: CLIENT, client_secret: SECRET }, /issuer must be/],
    [{ issuer: 'http://127.evil.example/', client_id: CLIENT, client_secret: SECRET }, /issuer must be/],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: `${SECRET}\n` }, /client_secret must have no/],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: 12 }, /client_secret must be text/],
    [
      { issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, binding: 'none' },
      /binding must be one of action, organization/,
    ],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, timeout: '1w' }, /timeout must be a duration/],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, timeout: 0 }, /timeout must be from 1 to 60/],
    [{ issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET, tenant_claim: 'tenant' }, /tenant_claim must be a URI/],
    [
      { issuer: 7, client_idd: CLIENT, timeout: {} },
      /issuer must be text; "client_idd" is not a field here .*; timeout must be a duration/,
    ],
  ])('%j is refused, all faults at once, and nothing is kept', async (data, message) => {
    await using s = await stage(key);
    const said = await refusal(() => s.write('config', data));
    expect(said.status).toBe(400);
    expect(said.message).toMatch(message);
    expect(s.storage.entries.size).toBe(0);
  });

  test('whoever may write config cannot have the stored secret sent elsewhere', async () => {
    await using s = await stage(key);
    await s.setUp();
    expect((await refusal(() => s.write('config', { issuer: 'https://evil.example/' }))).message).toContain(
      'another issuer needs the client_secret',
    );
    expect((await refusal(() => s.write('config', { client_id: 'another' }))).message).toContain(
      'another client_id needs its own client_secret',
    );
    await s.write('config', { issuer: 'https://other.example/', client_secret: NEW });
    expect(s.storage.json('config')).not.toHaveProperty('previous_client_secret');
  });

  test('a new secret: the one before is tried for 30 s, then no more', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('config', { client_secret: NEW });
    expect((await s.read('config'))['previous_client_secret_until']).toEqual(expect.any(String));
    await s.read('creds/acme');
    expect(s.auth0.exchanges.map((_, index) => s.auth0.parametersOf(index)['client_secret'])).toEqual([NEW, SECRET]);
    s.clock.offset = 31_000;
    await s.write('config', { timeout: 6 });
    expect((await refusal(() => s.read('creds/globex'))).status).toBe(503);
    s.auth0.secrets = [NEW];
    // Auth0 is left alone for 10 s after a refusal.
    s.clock.offset = 42_000;
    await s.read('creds/globex');
    expect((await s.read('config'))['previous_client_secret_until']).toBeNull();
  });

  test('storage that fails while it is written changes nothing; one that holds something else is told', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.storage.failing = /^put/;
    expect((await refusal(() => s.write('config', { binding: 'organization' }))).status).toBe(503);
    s.storage.failing = undefined;
    expect((await s.read('config'))['binding']).toBe('action');
    await s.storage.put('config', new TextEncoder().encode('{"issuer":"canary"'));
    s.engine.invalidateKey('config');
    expect((await refusal(() => s.read('creds/acme'))).status).toBe(503);
    expect(s.log.text).toMatch(/written by another version/);
    expect(s.log.text).not.toContain('canary');
  });
});

describe('the management application', () => {
  const BASE = { issuer: 'acme.eu.auth0.com', client_id: CLIENT, client_secret: SECRET };

  test('goes in and its secret never comes out; null takes it away', async () => {
    await using s = await stage(key);
    await s.write('config', { ...BASE, ...ROTATOR });
    const config = await s.read('config');
    expect(config['management_client_id']).toBe('rotator');
    expect(JSON.stringify(config)).not.toContain('canary');
    await s.write('config', { timeout: 7 });
    await s.write('config', { management_client_secret: 'canary-rotator-next' });
    expect(s.storage.json('config')).toMatchObject({
      management: { client_id: 'rotator', client_secret: 'canary-rotator-next' },
      timeout: 7,
    });
    await s.write('config', { management_client_id: null });
    expect(s.storage.json('config')['management']).toBeUndefined();
    expect((await s.read('config'))['management_client_id']).toBeNull();
  });

  test.each([
    [{ management_client_id: 'rotator' }, /needs its management_client_secret/],
    [{ management_client_secret: 'canary-x' }, /needs its management_client_id/],
    [{ management_client_id: CLIENT, management_client_secret: 'canary-x' }, /must be another application than client_id/],
    [{ management_client_id: 'a b', management_client_secret: 'canary-x' }, /management_client_id must have no white space/],
  ])('%j is a 400', async (data, message) => {
    await using s = await stage(key);
    await s.write('config', BASE);
    expect(await refusal(() => s.write('config', data))).toEqual({ status: 400, message: expect.stringMatching(message) });
  });

  test('another id needs its own secret, and the secret is never sent to another issuer', async () => {
    await using s = await stage(key);
    await s.write('config', { ...BASE, ...ROTATOR });
    expect((await refusal(() => s.write('config', { management_client_id: 'another' }))).message).toMatch(
      /needs its management_client_secret/,
    );
    const answer = await s.write('config', { issuer: 'other.eu.auth0.com', client_secret: 'canary-other' });
    expect(answer?.warnings?.[0]).toContain('is forgotten');
    expect(JSON.stringify(s.storage.json('config'))).not.toContain('canary-rotator');
  });
});

describe('config/rotate', () => {
  test('without an application of its own: refused with what to do, and Auth0 is not asked', async () => {
    let asked = 0;
    await using s = await stage(key, { rotate: async () => `${NEW}${asked++}` });
    await s.setUp();
    expect(await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).toEqual({
      status: 400,
      message: expect.stringMatching(/api\/v2\/.*update:client_keys.*management_client_id and management_client_secret to config/),
    });
    expect(asked).toBe(0);
  });

  test('the new secret is stored, used at once, and the old one tried for the overlap', async () => {
    const asked: unknown[] = [];
    await using s = await stage(key, {
      rotate: async (application) => {
        asked.push(application);
        return NEW;
      },
    });
    await setUp(s);
    const answer = await s.call('update', 'config/rotate', { domain: 'acme.eu.auth0.com', exclusive: true });
    expect(asked).toEqual([
      {
        issuer: s.auth0.issuer,
        clientId: CLIENT,
        management: { clientId: 'rotator', clientSecret: 'canary-rotator-secret' },
        domain: 'acme.eu.auth0.com',
        timeoutMs: 5_000,
      },
    ]);
    expect(answer?.data).toEqual({ client_id: CLIENT, rotated_at: expect.any(String), stored: true });
    expect(JSON.stringify(answer)).not.toContain('canary');
    expect(s.storage.json('config')).toMatchObject({ client_secret: NEW, previous_client_secret: SECRET });
    s.auth0.secrets = [NEW];
    await s.read('creds/acme');
    expect(await s.read('config')).toMatchObject({ client_secret_rotated_at: expect.any(String) });
  });

  test('a refusal names what is missing and changes nothing', async () => {
    await using s = await stage(key, {
      rotate: () =>
        Promise.reject(
          new PosternError('access_denied', 'Auth0 refuses to rotate the secret', { detail: 'It needs the scope update:client_keys' }),
        ),
    });
    await setUp(s);
    const before = s.storage.json('config');
    expect(await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).toEqual({
      status: 400,
      message:
        'the secret was not rotated, and nothing has changed: Auth0 refuses to rotate the secret. It needs the scope update:client_keys',
    });
    expect(s.storage.json('config')).toEqual(before);
  });

  test("a storage that can't be written is seen before Auth0 is asked", async () => {
    let asked = 0;
    await using s = await stage(key, { rotate: async () => `${NEW}${asked++}` });
    await setUp(s);
    s.storage.failing = /^put/;
    expect((await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).status).toBe(503);
    s.storage.failing = undefined;
    s.storage.readOnly = true;
    await expect(s.call('update', 'config/rotate', { exclusive: true })).rejects.toThrow('cannot write to readonly storage');
    expect(asked).toBe(0);
  });

  test.each(['upkeep', 'the next write'])(
    'where storage fails just after Auth0 has rotated, the secret is not lost, and stored by %s',
    async (by) => {
      await using s = await stage(key, {
        rotate: async () => {
          s.storage.failing = /^put config/;
          s.auth0.secrets = [NEW];
          return NEW;
        },
      });
      await setUp(s);
      const answer = await s.call('update', 'config/rotate', { exclusive: true });
      expect(answer?.data).toMatchObject({ stored: false });
      expect(answer?.warnings?.[0]).toContain('Do not restart Vault');
      await s.read('creds/acme');
      expect(await s.read('info')).toMatchObject({ config_unsaved: true });
      await s.engine.upkeep();
      expect(s.storage.json('config')['client_secret']).toBe(SECRET);
      expect((await refusal(() => s.write('config', { timeout: 7 }))).status).toBe(503);
      s.storage.failing = undefined;
      if (by === 'upkeep') await s.engine.upkeep();
      else await s.write('config', { timeout: 7 });
      expect(s.storage.json('config')['client_secret']).toBe(NEW);
      expect(await s.read('info')).toMatchObject({ config_unsaved: false });
      await s.restart();
      await s.read('creds/globex');
    },
  );

  test.each(['before', 'after'])(
    'somebody who writes config just %s Auth0 has answered loses neither the new secret nor what they wrote',
    async (when) => {
      let writing: Promise<unknown> = Promise.resolve();
      await using s = await stage(key, {
        rotate: async () => {
          writing =
            when === 'before'
              ? s.call('update', 'config', { timeout: 7 })
              : new Promise((resolve) => setImmediate(resolve)).then(() => s.call('update', 'config', { timeout: 7 }));
          return NEW;
        },
      });
      await setUp(s);
      s.storage.delayMs = 5;
      await s.call('update', 'config/rotate', { exclusive: true });
      await writing;
      expect(s.storage.json('config')).toMatchObject({ client_secret: NEW, timeout: 7 });
    },
  );

  test('an application that took the place of the rotated one meanwhile stays, and its secret goes to nobody else', async () => {
    await using s = await stage(key, {
      rotate: async () => {
        await s.write('config', { client_id: 'another', client_secret: 'canary-another-secret' });
        return NEW;
      },
    });
    await setUp(s);
    expect(await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).toEqual({
      status: 409,
      message: expect.stringContaining('config names another application by now'),
    });
    expect(s.storage.json('config')).toMatchObject({ client_id: 'another', client_secret: 'canary-another-secret' });
  });

  test('two at once are one', async () => {
    let asked = 0;
    await using s = await stage(key, { rotate: async () => `${NEW}${asked++}` });
    await setUp(s);
    const [first, second] = await Promise.allSettled([
      s.call('update', 'config/rotate', { exclusive: true }),
      s.call('update', 'config/rotate', { exclusive: true }),
    ]);
    expect([first?.status, second?.status].sort()).toEqual(['fulfilled', 'rejected']);
    expect(asked).toBe(1);
  });

  test.each([{}, { exclusive: false }, { exclusive: 'false' }])(
    'brokers may share the application, and would be refused: %o is not enough, and Auth0 is not asked',
    async (said) => {
      let asked = 0;
      await using s = await stage(key, { rotate: async () => `${NEW}${asked++}` });
      await setUp(s);
      const before = s.storage.json('config');
      expect(await refusal(() => s.call('update', 'config/rotate', said))).toEqual({
        status: 400,
        message: expect.stringMatching(/brokers that use the same application .*exclusive=true.*postern upstream set/),
      });
      expect(asked).toBe(0);
      expect(s.storage.json('config')).toEqual(before);
    },
  );

  test('before it is configured: 400', async () => {
    await using s = await stage(key);
    expect((await refusal(() => s.call('update', 'config/rotate', { exclusive: true }))).status).toBe(400);
  });
});

test("one application's secret is never tried as the one before of another", () => {
  const config: Config = {
    issuer: 'https://acme.eu.auth0.com/',
    client_id: 'one',
    client_secret: 'canary-secret-1',
    binding: 'action',
    tenant_claim: 'https://postern.dev/tenant',
    timeout: 5,
    min_remaining: 60,
    secret_written_at: 0,
  };
  expect(withSecret(config, 'one', 'canary-secret-2', 1_000)).toMatchObject({ previous_client_secret: 'canary-secret-1' });
  expect(withSecret(config, 'two', 'canary-secret-2', 1_000)).not.toHaveProperty('previous_client_secret');
});
