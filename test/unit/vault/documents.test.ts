import { describe, expect, test } from 'vitest';
import { VaultApis } from '#broker/vault/apis.ts';
import { VaultAnnouncements } from '#broker/vault/announcements.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { VaultGrants } from '#broker/vault/grants.ts';
import { VaultUpstream } from '#broker/vault/upstream-credential.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { KvFixture } from './kv-fixture.ts';

const away = (retryAfter?: number) => new VaultFault('unavailable', 'sealed', retryAfter === undefined ? {} : { retryAfter });

describe('tenants/<tenant>', () => {
  const stage = () => {
    const fixture = new KvFixture('postern');
    return { fixture, grants: new VaultGrants(fixture.kv) };
  };

  test('is read as the tenant, and only its own', async () => {
    const { fixture, grants } = stage();
    fixture.set('postern/data/tenants/globex', { grants: [{ api: 'orders', scopes: ['a'] }] });
    expect((await grants.readGrants(identityOf({ tenant: 'globex', forwardedFor: '192.0.2.7' })))?.grants).toEqual([
      { api: 'orders', scopes: ['a'] },
    ]);
    expect(fixture.calls).toEqual([
      { operation: 'read', path: 'postern/data/tenants/globex', token: 'hvb.globex', forwardedFor: '192.0.2.7' },
    ]);
  });

  test('that does not exist is nothing', async () => {
    expect(await stage().grants.readGrants(identityOf())).toBeUndefined();
  });

  test('that is not valid: the operator hears where, the client nothing', async () => {
    const { fixture, grants } = stage();
    fixture.set('postern/data/tenants/acme', { grants: [{ api: '../x', scopes: [] }] });
    await expect(grants.readGrants(identityOf())).rejects.toMatchObject({
      code: 'misconfigured',
      message: 'Client is not set up',
      detail: expect.stringMatching(/tenants\/acme.*grants\.0\.api/),
    });
  });

  test('a denial is not blamed on the client, and the operator hears what it may be', async () => {
    const { fixture, grants } = stage();
    fixture.fault = new VaultFault('denied', 'Vault answered 403');
    await expect(grants.readGrants(identityOf())).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      detail: expect.stringContaining('postern-tenant'),
    });
    fixture.fault = away(3);
    await expect(grants.readGrants(identityOf())).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 3 });
  });
});

describe('a token that Vault refuses as such', () => {
  const bare = new VaultFault('denied', 'Vault answered 403 to postern/data/tenants/acme: permission denied', { status: 403 });
  const byPolicy = new VaultFault(
    'denied',
    'Vault answered 403 to postern/data/tenants/acme: 1 error occurred:\n\t* permission denied\n\n',
    {
      status: 403,
    },
  );

  test.each<[string, VaultFault, Parameters<typeof identityOf>[0], string]>([
    ['is a wrong credential from where its client is', bare, { forwardedFor: '192.0.2.7' }, 'invalid_client'],
    ['is for operators to mend where no address is forwarded', bare, {}, 'temporarily_unavailable'],
    ['and has ended says nothing of its client', bare, { forwardedFor: '192.0.2.7', expiresAt: 1 }, 'temporarily_unavailable'],
    ['and is lent was judged before', bare, { forwardedFor: '192.0.2.7', lent: true }, 'temporarily_unavailable'],
    ['for its policies is for operators to mend', byPolicy, { forwardedFor: '192.0.2.7' }, 'temporarily_unavailable'],
  ])('%s', async (_, fault, over, code) => {
    const fixture = new KvFixture('postern');
    fixture.fault = fault;
    const told: object[] = [];
    const grants = new VaultGrants(fixture.kv, { onRefusedAddress: (refused) => told.push(refused) });
    await expect(grants.readGrants(identityOf(over))).rejects.toMatchObject({ code });
    expect(told).toHaveLength(code === 'invalid_client' ? 1 : 0);
  });
});

describe('apis/', () => {
  const api = (audience: string, more: object = {}) => ({ audience, source: 'transit', scopes: ['a'], ...more });

  function stage(options: { maxAgeMs?: number; cooldownMs?: number } = {}) {
    const fixture = new KvFixture('postern');
    fixture.set('postern/data/apis/orders', api('https://orders'));
    const clock = new Clock();
    const invalid: string[] = [];
    const errors: unknown[] = [];
    const apis = new VaultApis({
      sources: ['transit'],
      kv: fixture.kv,
      session: fixture.session,
      now: clock.now,
      monotonic: clock.monotonic,
      onInvalid: (name, problem) => invalid.push(`${name}: ${problem}`),
      onError: (e) => errors.push(e),
      ...options,
    });
    return { fixture, clock, apis, invalid, errors, lists: () => fixture.calls.filter(({ operation }) => operation === 'list').length };
  }
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

  test("are read with the broker's own token, once for many, and then answered at once", async () => {
    const { apis, fixture, lists } = stage();
    expect(apis.known).toBe(false);
    const all = await Promise.all(Array.from({ length: 100 }, () => Promise.resolve(apis.byAudience('https://orders'))));
    expect(all.every((a) => a?.name === 'orders')).toBe(true);
    expect(lists()).toBe(1);
    expect(new Set(fixture.calls.map(({ token }) => token))).toEqual(new Set(['own']));
    expect(apis.known).toBe(true);
    expect(apis.byAudience('https://orders')).toMatchObject({ name: 'orders', audience: 'https://orders' });
    expect(apis.byName('orders')).toMatchObject({ name: 'orders' });
  });

  test("an audience is compared letter by letter, and a prototype's name is unknown", async () => {
    const { apis } = stage();
    await apis.load();
    for (const audience of ['https://orders/', 'HTTPS://orders', 'orders', '__proto__', 'constructor', 'toString', ''])
      expect(apis.byAudience(audience)).toBeUndefined();
    for (const name of ['__proto__', 'constructor', 'https://orders']) expect(apis.byName(name)).toBeUndefined();
  });

  test('one that is not valid is left out and told; the others serve', async () => {
    const { apis, fixture, invalid } = stage();
    fixture.set('postern/data/apis/broken', { audience: 7 });
    fixture.set('postern/data/apis/twin', api('https://orders'));
    await apis.load();
    expect(apis.byAudience('https://orders')).toMatchObject({ name: 'orders' });
    expect(apis.byName('broken')).toBeUndefined();
    expect(apis.byName('twin')).toBeUndefined();
    expect(invalid).toHaveLength(2);
  });

  test.each(['okta', 'constructor', '__proto__', 'Transit', ''])(
    'one with a source that this version does not have is left out: "%s"',
    async (source) => {
      const { apis, fixture, invalid } = stage();
      fixture.set('postern/data/apis/billing', api('https://billing', { source }));
      await apis.load();
      expect(apis.byName('billing')).toBeUndefined();
      expect(apis.byName('orders')).toBeDefined();
      expect(invalid).toEqual([expect.stringMatching(/^billing: .*source/)]);
    },
  );

  test('names that no API can have are not read', async () => {
    const { apis, fixture } = stage();
    for (const name of ['..', 'Folder', 'a.b', 'x*']) fixture.set(`postern/data/apis/${name}`, api('https://x'));
    await apis.load();
    expect(fixture.calls.filter(({ operation }) => operation === 'read').map(({ path }) => path)).toEqual(['postern/data/apis/orders']);
  });

  test('an unknown audience is looked for again, but no more often than each 5 s, whoever asks', async () => {
    const { apis, clock, fixture, lists } = stage();
    await apis.load();
    for (let i = 0; i < 1000; i++) expect(apis.byAudience(`https://x${i}`)).toBeUndefined();
    expect(lists()).toBe(1);
    fixture.set('postern/data/apis/young', api('https://young'));
    clock.advance(5_001);
    expect(await apis.byAudience('https://young')).toMatchObject({ name: 'young' });
    await Promise.all(Array.from({ length: 100 }, (_, i) => Promise.resolve(apis.byAudience(`https://y${i}`))));
    expect(lists()).toBe(2);
  });

  test('a known one is answered at once, however old, and read again in the background', async () => {
    const { apis, clock, fixture, lists } = stage();
    await apis.load();
    fixture.set('postern/data/apis/orders', api('https://orders', { scopes: ['a', 'b'] }));
    clock.advance(30_001);
    expect(apis.byAudience('https://orders')).toMatchObject({ scopes: ['a'] });
    await settle();
    expect(apis.byAudience('https://orders')).toMatchObject({ scopes: ['a', 'b'] });
    expect(lists()).toBe(2);
  });

  test('is read again as often though the clock was set back', async () => {
    const { apis, clock, fixture, lists } = stage();
    await apis.load();
    clock.setBack(3_600_000);
    fixture.set('postern/data/apis/young', api('https://young'));
    clock.advance(5_001);
    expect(await apis.byAudience('https://young')).toMatchObject({ name: 'young' });
    clock.advance(30_001);
    void apis.byAudience('https://orders');
    await settle();
    expect(lists()).toBe(3);
  });

  test('an outage: the old ones serve on, and Vault is not asked by each request', async () => {
    const { apis, clock, errors, fixture, lists } = stage();
    await apis.load();
    fixture.fault = away();
    clock.advance(31_000);
    for (let i = 0; i < 100; i++) expect(apis.byAudience('https://orders')).toMatchObject({ name: 'orders' });
    await settle();
    for (let i = 0; i < 100; i++) expect(apis.byAudience('https://orders')).toMatchObject({ name: 'orders' });
    await settle();
    expect(lists()).toBe(2);
    expect(errors.length).toBeGreaterThan(0);
    clock.advance(6_000);
    await expect(Promise.resolve(apis.byAudience('https://unknown'))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('an outage from the start: 503, never "unknown API"', async () => {
    const { apis, fixture } = stage();
    fixture.fault = away();
    await expect(Promise.resolve(apis.byAudience('https://orders'))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    fixture.fault = undefined;
    expect(await apis.byAudience('https://orders')).toMatchObject({ name: 'orders' });
  });
});

describe('state/epoch', () => {
  const stage = () => {
    const fixture = new KvFixture('postern');
    return { fixture, epoch: new VaultAnnouncements(fixture.kv, fixture.session) };
  };

  test('a missing document is epoch 0', async () => {
    expect(await stage().epoch.readAnnouncements()).toEqual({ epoch: 0, disabled: [], recent: [] });
  });

  test("is read as it is, with the broker's own token", async () => {
    const { epoch, fixture } = stage();
    fixture.set('postern/data/state/epoch', { epoch: 3, disabled: ['evil'], recent: [{ epoch: 3, tenant: 'evil' }] });
    expect(await epoch.readAnnouncements()).toEqual({ epoch: 3, disabled: ['evil'], recent: [{ epoch: 3, tenant: 'evil' }] });
    expect(fixture.calls[0]).toMatchObject({ path: 'postern/data/state/epoch', token: 'own' });
  });

  test.each([{ epoch: -1 }, { epoch: '3' }, {}, { epoch: 1, disabled: 'evil' }, { epoch: 1, recent: [{ tenant: 'x' }] }, { epoch: 1.5 }])(
    '%j is an error, not "nobody is disabled"',
    async (data) => {
      const { epoch, fixture } = stage();
      fixture.set('postern/data/state/epoch', data);
      await expect(epoch.readAnnouncements()).rejects.toBeInstanceOf(VaultFault);
    },
  );
});

describe('upstream/auth0', () => {
  const stage = () => {
    const fixture = new KvFixture('postern');
    return { fixture, upstream: new VaultUpstream(fixture.kv, fixture.session, 'auth0') };
  };
  const PATH = 'postern/data/upstream/auth0';

  test('newest secret first, the previous one after it', async () => {
    const { fixture, upstream } = stage();
    fixture.set(PATH, { client_id: 'id', client_secret: 'new', previous_client_secret: 'old' });
    expect(await upstream.readUpstream()).toEqual({ clientId: 'id', clientSecrets: ['new', 'old'] });
  });

  test('without a previous one it stands alone', async () => {
    const { fixture, upstream } = stage();
    fixture.set(PATH, { client_id: 'id', client_secret: 'new' });
    expect(await upstream.readUpstream()).toEqual({ clientId: 'id', clientSecrets: ['new'] });
  });

  test('the version before gives the previous secret, to who may write and not read', async () => {
    const { fixture, upstream } = stage();
    fixture.set(PATH, { client_id: 'id', client_secret: 'old' });
    fixture.set(PATH, { client_id: 'id', client_secret: 'new' });
    expect(await upstream.readUpstream()).toEqual({ clientId: 'id', clientSecrets: ['new', 'old'] });
    fixture.set(PATH, { client_id: 'id', client_secret: 'new' });
    expect(await upstream.readUpstream()).toEqual({ clientId: 'id', clientSecrets: ['new'] });
  });

  test.each([{ client_id: 'another', client_secret: 'old' }, { client_id: 'id' }, null])(
    'a version before that is %j gives none',
    async (before) => {
      const { fixture, upstream } = stage();
      fixture.set(PATH, before);
      fixture.set(PATH, { client_id: 'id', client_secret: 'new' });
      expect(await upstream.readUpstream()).toEqual({ clientId: 'id', clientSecrets: ['new'] });
    },
  );

  test.each([
    undefined,
    {},
    { client_id: 'canary-id' },
    { client_id: 'canary-id', client_secret: '' },
    { client_id: 7, client_secret: 'canary' },
  ])('%j: the operator hears what to do, and no value', async (data) => {
    const { fixture, upstream } = stage();
    if (data) fixture.set(PATH, data);
    const error = (await upstream.readUpstream().catch((e: unknown) => e)) as { detail: string };
    expect(error).toMatchObject({ code: 'misconfigured', retryAfter: 10 });
    expect(JSON.stringify([error, error.detail])).not.toContain('canary');
  });

  test('an outage is one', async () => {
    const { fixture, upstream } = stage();
    fixture.fault = away(2);
    await expect(upstream.readUpstream()).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 2 });
  });
});
