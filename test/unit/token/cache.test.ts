import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { Generations } from '#broker/credential/generations.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { TokenCache } from '#broker/token/cache.ts';
import type { Served, TokenCacheOptions } from '#broker/token/cache.ts';
import { Token } from '#broker/token/token.ts';
import type { TokenWork } from '#broker/token/work.ts';
import { apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { Clock, deferred } from '#test/unit/credential/clock.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { MemoryStore } from './memory-store.ts';

const ACME = identityOf();
const LENT = identityOf({ lent: true });
let serial = 0;

interface Stage {
  clock: Clock;
  store: MemoryStore;
  cache: TokenCache;
  /** Grants the source was asked for. */
  asked: AuthorizedGrant[];
  errors: unknown[];
  /** What the source does next; default: a token of `lifetime` seconds that names its grant. */
  source: { issue: (grant: AuthorizedGrant) => Promise<Token> };
  /** One more process over the same store and source. */
  replica: (more?: Partial<TokenCacheOptions>) => TokenCache;
}

function stage(options: Partial<TokenCacheOptions> & { lifetime?: number } = {}): Stage {
  const clock = new Clock();
  const now = options.now ?? clock.now;
  const { lifetime = 3600, ...rest } = options;
  const store = new MemoryStore();
  const asked: AuthorizedGrant[] = [];
  const errors: unknown[] = [];
  const source = {
    issue: async (grant: AuthorizedGrant): Promise<Token> => {
      const iat = Math.floor(now() / 1000);
      return new Token(`${grant.key} #${serial++}`, grant.scope, iat, iat + lifetime, 0);
    },
  };
  const counting = {
    issue: (grant: AuthorizedGrant) => {
      asked.push(grant);
      return source.issue(grant);
    },
  };
  const replica = (more: Partial<TokenCacheOptions> = {}) =>
    new TokenCache({
      store,
      sources: { transit: counting, auth0: counting },
      now,
      ...(options.now === undefined ? { monotonic: clock.monotonic } : { monotonic: () => performance.now() }),
      onRefreshError: (_grant, error) => errors.push(error),
      ...rest,
      ...more,
    });
  return { clock, store, asked, errors, source, replica, cache: replica() };
}

const get = async (cache: TokenCache, grant: AuthorizedGrant): Promise<Served> => cache.get(grant, ACME);
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof PosternError ? error.code : String(error)),
  );
/** Lets what runs in the background end. */
const settle = () => sleep(20);

const away = (retryAfter?: number) => new PosternError('temporarily_unavailable', 'away', retryAfter === undefined ? {} : { retryAfter });

describe('signed by a key that was taken out of use', () => {
  test.each(['memory', 'store'])('is not served from %s', async (from) => {
    const retired = new Set<string>();
    const { asked, cache, replica, source } = stage({ isRetired: (signedBy) => retired.has(signedBy) });
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    let kid = 'old';
    source.issue = async ({ scope }) =>
      new Token(`${part({ kid })}.${part({ iss: 'us' })}.${serial++}`, scope, 1_800_000_000, 1_800_003_600, 0);
    const grant = await grantOf();
    expect((await get(cache, grant)).token.signedBy).toBe('us old');
    retired.add('us old');
    kid = 'new';
    expect((await get(from === 'memory' ? cache : replica(), grant)).token.signedBy).toBe('us new');
    expect(asked.length).toBe(2);
  });
});

describe('from memory', () => {
  test('at once, with no call to store or source', async () => {
    const { asked, cache, store } = stage();
    const grant = await grantOf();
    const first = await get(cache, grant);
    expect(first.from).toBe('source');
    const { reads, writes } = store;
    const hit = cache.get(grant, ACME);
    expect(hit).not.toBeInstanceOf(Promise);
    expect(hit).toMatchObject({ from: 'memory', token: first.token });
    expect([store.reads, store.writes, asked.length]).toEqual([reads, writes, 1]);
  });

  test('an equal grant made anew is a hit; one that differs in anything is not', async () => {
    const { asked, cache } = stage();
    await get(cache, await grantOf());
    expect(cache.get(await grantOf(), ACME)).not.toBeInstanceOf(Promise);
    const others = [
      await grantOf({ request: { scope: 'read:all' } }),
      await grantOf({ tenant: tenantOf({ claims: { 'https://e.com/plan': 'gold' } }) }),
      await grantOf({ tenant: tenantOf({ organization: 'org_acme' }) }),
      await grantOf({ apis: [apiOf('orders', { lifetime: 600 })] }),
      await grantOf({ identity: { clientId: 'made-anew' } }),
    ];
    for (const other of others) expect((await get(cache, other)).from).toBe('source');
    expect(asked).toHaveLength(6);
  });

  test('has the grant of a token in memory for whoever is granted the same, and of no other', async () => {
    const { cache } = stage();
    const grant = await grantOf();
    expect(cache.kept(grant)).toBeUndefined();
    await get(cache, grant);
    expect(cache.kept(await grantOf())).toBe(grant);
    expect(cache.kept(await grantOf({ tenant: tenantOf({ quota: { monthly: 1 } }) }))).toBeUndefined();
    expect(cache.kept(await grantOf({ request: { scope: 'read:all' } }))).toBeUndefined();
    cache.forget(() => true);
    expect(cache.kept(grant)).toBeUndefined();
  });

  test('no more tokens than may be', async () => {
    const { cache } = stage({ max: 10 });
    const grants = await Promise.all(Array.from({ length: 12 }, (_, i) => grantOf({ identity: { clientId: `c${i}` } })));
    for (const grant of grants) await get(cache, grant);
    expect(cache.get(grants[11] as AuthorizedGrant, ACME)).not.toBeInstanceOf(Promise);
    expect(cache.get(grants[0] as AuthorizedGrant, ACME)).toBeInstanceOf(Promise);
  });

  test('no more memory than may be, however long tokens are: those that nobody used for longest go', async () => {
    const { cache, source, clock } = stage({ maxBytes: 100_000 });
    source.issue = async (grant) => new Token('x'.repeat(20_000), grant.scope, clock.now() / 1000, clock.now() / 1000 + 3600);
    const grants = await Promise.all(Array.from({ length: 6 }, (_, i) => grantOf({ identity: { clientId: `c${i}` } })));
    const full: boolean[] = [];
    for (const grant of grants) {
      await get(cache, grant);
      full.push(cache.full);
    }
    expect(cache.recent().map(({ grant }) => grant)).toEqual(grants.slice(2).toReversed());
    expect(cache.size).toBe(4);
    expect(full).toEqual([false, false, false, true, true, true]);
    expect(cache.get(grants[2] as AuthorizedGrant, ACME)).not.toBeInstanceOf(Promise);
    expect(cache.get(grants[0] as AuthorizedGrant, ACME)).toBeInstanceOf(Promise);
  });

  test('tells whether it holds the whole token, and not a narrower one', async () => {
    const { cache, clock } = stage();
    await get(cache, await grantOf({ request: { scope: 'read:all' } }));
    expect(cache.holds('acme', 'orders')).toBe(false);
    await get(cache, await grantOf());
    expect(cache.holds('acme', 'orders')).toBe(true);
    expect(cache.holds('globex', 'orders')).toBe(false);
    clock.advance(3600_000);
    expect(cache.holds('acme', 'orders')).toBe(false);
  });
});

describe('work in the background is told', () => {
  test('a refresh that went well, and whether a client asked just then', async () => {
    const work: TokenWork[] = [];
    const { cache, clock } = stage({ onWork: (one) => work.push(one) });
    const grant = await grantOf();
    const first = await get(cache, grant);
    expect(work).toEqual([]);
    clock.advance(3000_000);
    await get(cache, grant);
    await settle();
    expect(work).toMatchObject([
      { kind: 'refresh', outcome: 'refreshed', ahead: false, served: { from: 'source', grant: { tenant: 'acme' } } },
    ]);
    clock.advance(3000_000);
    const [held] = cache.recent();
    expect(cache.refreshAhead(held!, ACME)).toBe(true);
    await settle();
    expect(work[1]).toMatchObject({ kind: 'refresh', outcome: 'refreshed', ahead: true });
    expect((work[1] as { served: Served }).served.token).not.toBe(first.token);
  });

  test('one that failed, with its error', async () => {
    const work: TokenWork[] = [];
    const { cache, clock, source } = stage({ onWork: (one) => work.push(one) });
    const grant = await grantOf();
    await get(cache, grant);
    clock.advance(3000_000);
    source.issue = () => Promise.reject(away());
    await get(cache, grant);
    await settle();
    expect(work).toMatchObject([{ kind: 'refresh', outcome: 'failed', ahead: false, error: { code: 'temporarily_unavailable' } }]);
  });

  test.each([
    ['ended', { holder: 'dead', until: -1, paused: false }],
    ['pause_over', { holder: 'dead', until: -1, paused: true }],
    ['unchanged', { holder: 'dead', until: 300_000, paused: false }],
    ['pause_over', { holder: 'dead', until: 2 * 3_600_000, paused: true }],
    ['pause_over', { holder: 'dead', until: 1e300, paused: true }],
  ])('a lease that is taken over: %s', async (why, lease) => {
    const work: TokenWork[] = [];
    const { cache, store } = stage({ now: Date.now, leaseMs: 200, onWork: (one) => work.push(one) });
    const grant = await grantOf();
    const none = await store.read(grant, ACME.token);
    await store.write(grant, undefined, { ...lease, until: Date.now() + lease.until }, none.version);
    await get(cache, grant);
    expect(work).toEqual([{ kind: 'lease', grant, from: 'dead', to: expect.any(String), why }]);
  });
});

describe('a token is served only with life left', () => {
  test('60 s of it, else a new one is fetched', async () => {
    const { asked, cache, clock, source } = stage();
    const grant = await grantOf();
    const { token } = await get(cache, grant);
    source.issue = () => Promise.reject(away());
    clock.advance((3600 - 60) * 1000);
    expect((await get(cache, grant)).token).toBe(token);
    await settle();
    const before = asked.length;
    clock.advance(1);
    expect(await codeOf(get(cache, grant))).toBe('temporarily_unavailable');
    expect(asked.length).toBe(before + 1);
  });

  test('half of it where a token lives shortly', async () => {
    const { cache, clock, source } = stage({ lifetime: 40 });
    const grant = await grantOf();
    await get(cache, grant);
    source.issue = () => Promise.reject(away());
    clock.advance(20_000);
    expect(await codeOf(get(cache, grant))).toBe('ok');
    clock.advance(1);
    expect(await codeOf(get(cache, grant))).toBe('temporarily_unavailable');
  });

  test('what lies in the store is held to the same', async () => {
    const { asked, clock, replica } = stage();
    const grant = await grantOf();
    await get(replica(), grant);
    clock.advance((3600 - 60) * 1000);
    expect((await get(replica(), grant)).from).toBe('store');
    clock.advance(1);
    expect((await get(replica(), grant)).from).toBe('source');
    expect(asked).toHaveLength(2);
  });

  test('a source whose token has already ended serves nobody', async () => {
    const { cache, clock, source } = stage();
    const now = clock.ms / 1000;
    source.issue = async (grant) => new Token('ended', grant.scope, now - 100, now - 10);
    expect(await codeOf(get(cache, await grantOf()))).toBe('temporarily_unavailable');
  });
});

describe('one flight', () => {
  test('a thousand first requests: one call to the source, the same token', async () => {
    const { asked, cache, store } = stage();
    const grant = await grantOf();
    const all = await Promise.all(Array.from({ length: 1000 }, () => get(cache, grant)));
    expect(asked).toHaveLength(1);
    expect(store.reads).toBe(1);
    expect(new Set(all.map(({ token }) => token)).size).toBe(1);
  });

  test('a failed one fails all that wait, and is not kept', async () => {
    const { asked, cache, source } = stage();
    const grant = await grantOf();
    const good = source.issue;
    source.issue = () => Promise.reject(new PosternError('access_denied', 'no'));
    const all = await Promise.all(Array.from({ length: 50 }, () => codeOf(get(cache, grant))));
    expect(new Set(all)).toEqual(new Set(['access_denied']));
    expect(asked).toHaveLength(1);
    source.issue = good;
    expect((await get(cache, grant)).from).toBe('source');
  });

  test('a source that is not set up is told to the operator', async () => {
    const { cache } = stage({ sources: { transit: undefined, auth0: undefined } });
    await expect(get(cache, await grantOf())).rejects.toMatchObject({
      code: 'misconfigured',
      detail: 'token source transit is not configured',
    });
  });
});

describe('ahead of the end', () => {
  test('one refresh in the background while the old token is served', async () => {
    const { asked, cache, clock } = stage();
    const grant = await grantOf();
    const old = await get(cache, grant);
    clock.advance(2700_000 - 1);
    expect(cache.get(grant, ACME)).toMatchObject({ token: old.token });
    await settle();
    expect(asked).toHaveLength(1);
    clock.advance(1);
    for (let i = 0; i < 100; i++) expect(cache.get(grant, ACME)).toMatchObject({ token: old.token });
    await settle();
    expect(asked).toHaveLength(2);
    const young = cache.get(grant, ACME) as Served;
    expect(young.token).not.toBe(old.token);
    expect(young.token.expiresAt).toBe(old.token.expiresAt + 2700);
  });

  test('a lent Vault token is used only while its request waits: that request waits for the refresh', async () => {
    const { asked, cache, clock, store } = stage();
    const grant = await grantOf();
    const old = await get(cache, grant);
    clock.advance(2700_000 - 1);
    expect(cache.get(grant, LENT)).toMatchObject({ token: old.token });
    clock.advance(1);
    const waiting = cache.get(grant, LENT);
    expect(waiting).toBeInstanceOf(Promise);
    // Who comes meanwhile has the old one, and begins nothing of its own.
    expect((await cache.get(grant, LENT)).token).toBe(old.token);
    expect((await waiting).token).not.toBe(old.token);
    expect(asked).toHaveLength(2);
    const reads = store.reads;
    await settle();
    expect(store.reads).toBe(reads);
  });

  test('and where the refresh fails, it gets the old one', async () => {
    const { asked, cache, clock, source } = stage();
    const grant = await grantOf();
    const old = await get(cache, grant);
    clock.advance(2800_000);
    source.issue = () => Promise.reject(new PosternError('temporarily_unavailable', 'away'));
    for (let i = 0; i < 5; i++) expect((await cache.get(grant, LENT)).token).toBe(old.token);
    // One attempt, and then the pause.
    expect(asked).toHaveLength(2);
  });

  test("another replica's newer token is taken, without a call to the source", async () => {
    const { asked, cache, clock, replica } = stage();
    const other = replica();
    const grant = await grantOf();
    await get(cache, grant);
    await get(other, grant);
    clock.advance(2800_000);
    await get(cache, grant);
    await settle();
    await get(other, grant);
    await settle();
    expect(asked).toHaveLength(2);
    expect((await get(other, grant)).token.reveal()).toBe((await get(cache, grant)).token.reveal());
  });

  test('after a failure it pauses, and the old token is served until its floor', async () => {
    const { asked, cache, clock, errors, source } = stage();
    const grant = await grantOf();
    const old = await get(cache, grant);
    source.issue = () => Promise.reject(away());
    clock.advance(2700_000);
    for (let i = 0; i < 50; i++) {
      expect(cache.get(grant, ACME)).toMatchObject({ token: old.token });
      await Promise.resolve();
    }
    await settle();
    expect([asked.length, errors.length]).toEqual([2, 1]);
    clock.advance(4_999);
    void cache.get(grant, ACME);
    await settle();
    expect(asked).toHaveLength(2);
    // 5 s, and up to a fifth more, so that replicas do not come all at once.
    clock.advance(1_001);
    void cache.get(grant, ACME);
    await settle();
    expect(asked).toHaveLength(3);
  });

  test('that pause is no longer where the clock was set back', async () => {
    const { asked, cache, clock, source } = stage();
    const grant = await grantOf();
    await get(cache, grant);
    source.issue = () => Promise.reject(away());
    clock.advance(2700_000);
    void cache.get(grant, ACME);
    await settle();
    clock.setBack(10_000);
    clock.advance(10_000);
    void cache.get(grant, ACME);
    await settle();
    expect(asked).toHaveLength(3);
  });

  test('the pause that the source names is honoured', async () => {
    const { asked, cache, clock, source } = stage();
    const grant = await grantOf();
    await get(cache, grant);
    source.issue = () => Promise.reject(away(120));
    clock.advance(2700_000);
    void cache.get(grant, ACME);
    await settle();
    clock.advance(119_000);
    void cache.get(grant, ACME);
    await settle();
    expect(asked).toHaveLength(2);
    clock.advance(26_000);
    void cache.get(grant, ACME);
    await settle();
    expect(asked).toHaveLength(3);
  });

  test("ten minutes' outage of the source: no failure, few calls, and then a new token", async () => {
    const { asked, cache, clock, source } = stage({ lifetime: 7200 });
    const grant = await grantOf();
    const old = await get(cache, grant);
    const good = source.issue;
    source.issue = () => Promise.reject(away(2));
    clock.advance(5400_000);
    for (let i = 0; i < 600; i++) {
      expect(await codeOf(get(cache, grant))).toBe('ok');
      clock.advance(1000);
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(asked.length).toBeLessThan(125);
    source.issue = good;
    clock.advance(10_000);
    void cache.get(grant, ACME);
    await settle();
    expect((await get(cache, grant)).token).not.toBe(old.token);
  });

  test('a store that is away during a refresh harms nobody', async () => {
    const { cache, clock, errors, store } = stage();
    const grant = await grantOf();
    const old = await get(cache, grant);
    store.before = () => {
      throw away(1);
    };
    clock.advance(2700_000);
    expect(cache.get(grant, ACME)).toMatchObject({ token: old.token });
    await settle();
    expect(cache.get(grant, ACME)).toMatchObject({ token: old.token });
    expect(errors).toHaveLength(1);
  });
});

describe('among replicas', () => {
  test('three that start at once: one call to the source', async () => {
    const { asked, replica, source } = stage({ now: Date.now });
    const good = source.issue;
    source.issue = async (grant) => {
      await sleep(50);
      return good(grant);
    };
    const grant = await grantOf();
    const served = await Promise.all(
      [replica(), replica(), replica()].flatMap((cache) => Array.from({ length: 100 }, () => get(cache, grant))),
    );
    expect(asked).toHaveLength(1);
    expect(new Set(served.map(({ token }) => token.reveal())).size).toBe(1);
    expect(new Set(served.map(({ from }) => from))).toEqual(new Set(['source', 'store']));
  });

  test('one that died while it asked: the others wait for its lease, and then one of them asks', async () => {
    const { asked, replica, source } = stage({ now: Date.now, leaseMs: 400 });
    const good = source.issue;
    const grant = await grantOf();
    source.issue = () => new Promise(() => {});
    const begun = Date.now();
    // Dead, it doesn't extend it either.
    void get(replica({ after: () => () => {} }), grant);
    await expect.poll(() => asked.length, { interval: 1 }).toBe(1);
    source.issue = good;
    const served = await Promise.all([get(replica(), grant), get(replica(), grant)]);
    expect(Date.now() - begun).toBeGreaterThan(300);
    expect(asked).toHaveLength(2);
    expect(served[0].token.reveal()).toBe(served[1].token.reveal());
  });

  test("two whose wall clocks differ by 16 s go by the store's, and don't take each other's lease for ended", async () => {
    const { asked, replica, source, store } = stage({ now: Date.now });
    const good = source.issue;
    const grant = await grantOf();
    let answer = (): void => {};
    source.issue = async (wanted) => {
      await new Promise<void>((resolve) => (answer = resolve));
      return good(wanted);
    };
    const behind = replica();
    const ahead = new TokenCache({
      store,
      sources: { transit: { issue: () => Promise.reject(new Error('asked')) } },
      now: () => Date.now() + 16_000,
      storeNow: Date.now,
    });
    const first = get(behind, grant);
    await expect.poll(() => asked.length, { interval: 1 }).toBe(1);
    const second = get(ahead, grant);
    await settle();
    answer();
    expect((await second).token.reveal()).toBe((await first).token.reveal());
  });

  test('a leaseholder whose clock is ahead cannot keep the others out for ever', async () => {
    const { asked, replica, store } = stage({ now: Date.now, leaseMs: 300 });
    const grant = await grantOf();
    store.entries.set('acme/orders', {
      version: 7,
      digest: grant.digest,
      token: undefined,
      lease: { holder: 'dead', until: Date.now() + 300_000, paused: false },
    });
    expect(await codeOf(get(replica(), grant))).toBe('ok');
    expect(asked).toHaveLength(1);
  });

  test("a lease of one's own is not waited for: Vault stored it though its reply was lost", async () => {
    const { asked, replica, store } = stage();
    const grant = await grantOf();
    const cache = replica();
    const outage = new PosternError('temporarily_unavailable', 'Vault did not answer in time');
    let late: (() => Promise<unknown>) | undefined;
    const write = store.write.bind(store);
    store.write = (...written) => {
      late = () => write(...written);
      return Promise.reject(outage);
    };
    expect(await codeOf(get(cache, grant))).toBe('temporarily_unavailable');
    store.write = write;
    // Carried out after the broker has read the place again, which then loses a race against itself.
    store.before = async (operation) => {
      if (operation !== 'write' || late === undefined) return;
      const stored = late;
      late = undefined;
      await stored();
    };
    const begun = performance.now();
    expect(await codeOf(get(cache, grant))).toBe('ok');
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect(asked).toHaveLength(1);
    expect(store.conflicts).toBe(1);
  });

  test('a lease is kept for as long as its holder works: nobody else asks the source', async () => {
    const { asked, replica, source } = stage({ now: Date.now, leaseMs: 400 });
    const grant = await grantOf();
    const { issue } = source;
    source.issue = async (wanted) => {
      await sleep(1_500);
      return issue(wanted);
    };
    const holder = get(replica(), grant);
    await expect.poll(() => asked.length, { interval: 1 }).toBe(1);
    const late: Served[] = [];
    // Each waits for a lease's time and is told to come back.
    for (const until = performance.now() + 5_000; late.length === 0 && performance.now() < until;)
      await get(replica(), grant).then(
        (served) => late.push(served),
        (error: unknown) => expect(error).toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 }),
      );
    expect(late[0]?.token.reveal()).toBe((await holder).token.reveal());
    expect(asked).toHaveLength(1);
  });

  test("a lease whose extension is lost on its way back is the holder's all the same", async () => {
    const { asked, replica, source, store } = stage({ now: Date.now, leaseMs: 400 });
    const grant = await grantOf();
    const { issue } = source;
    source.issue = async (wanted) => {
      await sleep(300);
      return issue(wanted);
    };
    const write = store.write.bind(store);
    let writes = 0;
    store.write = async (...written) => {
      const version = await write(...written);
      if (++writes === 2) throw away();
      return version;
    };
    const served = await get(replica(), grant);
    expect(store.entries.get('acme/orders')).toMatchObject({ lease: undefined, token: { accessToken: served.token.reveal() } });
    expect((await get(replica(), grant)).from).toBe('store');
    expect(asked).toHaveLength(1);
  });

  test('a token that could not be stored is stored a moment later, before anybody asks the source once more', async () => {
    const { asked, errors, replica, store } = stage({ now: Date.now });
    const grant = await grantOf();
    store.before = (operation, token) => {
      if (operation === 'write' && token !== undefined) throw away();
    };
    const served = await get(replica(), grant);
    expect(errors).toHaveLength(1);
    store.before = () => {};
    const other = await get(replica(), grant);
    expect(other.from).toBe('store');
    expect(other.token.reveal()).toBe(served.token.reveal());
    expect(asked).toHaveLength(1);
  });

  test('one that was ended meanwhile is not', async () => {
    const generations = new Generations();
    const { replica, store } = stage({ now: Date.now, generations });
    const grant = await grantOf();
    let failed = 0;
    store.before = (operation, token) => {
      if (operation !== 'write' || token === undefined) return;
      failed++;
      throw away();
    };
    await get(replica(), grant);
    generations.changed('acme');
    await sleep(1_600);
    expect(failed).toBe(1);
  });

  test('a replica whose clock is far ahead keeps the others from no token, and asks for another only after its pause', async () => {
    const { asked, clock, replica, store } = stage();
    const grant = await grantOf();
    const wrong = replica({ now: () => clock.now() + 3_550_000 });
    expect(await codeOf(get(wrong, grant))).toBe('temporarily_unavailable');
    expect(store.entries.get('acme/orders')).toMatchObject({ lease: undefined, token: { issuedAt: Math.floor(clock.now() / 1000) } });
    expect((await get(replica(), grant)).from).toBe('store');
    expect(await codeOf(get(wrong, grant))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(1);
    clock.advance(10_000);
    expect(await codeOf(get(wrong, grant))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(2);
  });

  test.each([-120_000, 3_550_000])("a replica whose clock is off by %d ms, and knows it, serves the others' token", async (off) => {
    const { asked, clock, replica } = stage();
    const grant = await grantOf();
    await get(replica(), grant);
    const wrong = replica({ now: () => clock.now() + off, storeNow: clock.now, tokenNow: clock.now });
    expect((await get(wrong, grant)).from).toBe('store');
    expect((await get(wrong, grant)).from).toBe('memory');
    // Nor does it fetch another before that one is due.
    expect(asked).toHaveLength(1);
  });

  test('one that is dated in the future is told as that', async () => {
    const told: boolean[] = [];
    const { asked, clock, replica } = stage({ isGenuine: async () => false, onForgery: (_grant, _token, future) => told.push(future) });
    const grant = await grantOf();
    await get(replica(), grant);
    await get(replica({ now: () => clock.now() - 60_000 }), grant);
    await get(replica(), grant);
    expect(told).toEqual([true, false]);
    expect(asked).toHaveLength(3);
  });

  test.each([
    ['its iat is wrong', 0],
    ["this machine's clock is ahead", 3_000_000],
  ])('one that is due as soon as it is issued is not fetched with each request (%s)', async (_why, ahead) => {
    const { asked, cache, clock, source } = stage({ minRemaining: 0 });
    const grant = await grantOf();
    source.issue = async () => {
      const seconds = Math.floor((clock.now() - ahead) / 1000);
      return new Token(`due #${asked.length}`, grant.scope, ahead === 0 ? 0 : seconds, seconds + 3600, 0);
    };
    const until = clock.monotonic() + 600_000;
    while (clock.monotonic() < until) {
      await get(cache, grant);
      await settle();
      clock.advance(20_000);
    }
    expect(asked.length).toBeLessThan(ahead === 0 ? 3 : 6);
  });

  test('one whose own clock is to blame for a refusal pauses alone', async () => {
    const { asked, replica, source, store } = stage();
    const grant = await grantOf();
    const { issue } = source;
    source.issue = () => Promise.reject(new PosternError('misconfigured', 'refused', { detail: 'iat', retryAfter: 10, here: true }));
    const wrong = replica();
    expect(await codeOf(get(wrong, grant))).toBe('misconfigured');
    expect(await codeOf(get(wrong, grant))).toBe('misconfigured');
    expect(store.entries.get('acme/orders')).toMatchObject({ lease: undefined });
    expect(asked).toHaveLength(1);
    source.issue = issue;
    expect(await codeOf(get(replica(), grant))).toBe('ok');
    expect(await codeOf(get(wrong, grant))).toBe('ok');
    expect(asked).toHaveLength(2);
  });

  test.each<[string, { here?: boolean; unasked?: 'throttled' }, number]>([
    ["a quota of Vault's", { unasked: 'throttled' }, 36],
    ["a fault of this machine's", { here: true }, 36],
    ["its issuer's word", {}, 4_320],
  ])('one token that was due, and failed to come by %s, is due again when that may be over', async (_why, cause, seconds) => {
    const { asked, clock, replica, source } = stage({ lifetime: 86_400 });
    const grant = await grantOf();
    const only = replica();
    await get(only, grant);
    const { issue } = source;
    source.issue = () => Promise.reject(new PosternError('temporarily_unavailable', 'later', { retryAfter: 3_600, ...cause }));
    clock.advance(80_000_000);
    const refreshed = async (): Promise<number> => {
      expect((await get(only, grant)).from).toBe('memory');
      await settle();
      return asked.length;
    };
    expect(await refreshed()).toBe(2);
    source.issue = issue;
    clock.advance(seconds * 1000 - 2_000 - seconds * 200);
    expect(await refreshed()).toBe(2);
    clock.advance(2_000 + seconds * 200);
    expect(await refreshed()).toBe(3);
  });

  test("a quota of Vault's that one replica has met pauses that one alone, and for half a minute at most", async () => {
    const { asked, clock, replica, source, store } = stage();
    const grant = await grantOf();
    const { issue } = source;
    const throttled = new PosternError('temporarily_unavailable', 'throttled', { retryAfter: 3_600, unasked: 'throttled' });
    source.issue = () => Promise.reject(throttled);
    const met = replica();
    for (let i = 0; i < 3; i++) await expect(get(met, grant)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    expect([asked.length, store.entries.get('acme/orders')?.lease]).toEqual([1, undefined]);
    clock.advance(29_000);
    await expect(get(met, grant)).rejects.toMatchObject({ retryAfter: 1 });
    clock.advance(1_000);
    expect(await codeOf(get(met, grant))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(2);
    source.issue = issue;
    expect(await codeOf(get(replica(), grant))).toBe('ok');
    expect(await codeOf(get(met, grant))).toBe('ok');
  });

  test('a Vault that does not answer pauses nobody: its breaker does', async () => {
    const { asked, replica, source, store } = stage();
    const grant = await grantOf();
    source.issue = () => Promise.reject(new PosternError('temporarily_unavailable', 'away', { retryAfter: 10, unasked: 'unanswered' }));
    for (let i = 0; i < 2; i++) expect(await codeOf(get(replica(), grant))).toBe('temporarily_unavailable');
    expect([asked.length, store.entries.get('acme/orders')?.lease]).toEqual([2, undefined]);
  });

  test('the source named a pause: every replica answers 503 at once, with what is left of it', async () => {
    const { asked, clock, replica, source } = stage();
    const grant = await grantOf();
    source.issue = () => Promise.reject(away(120));
    expect(await codeOf(get(replica(), grant))).toBe('temporarily_unavailable');
    clock.advance(20_500);
    const begun = Date.now();
    await expect(get(replica(), grant)).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 100 });
    await expect(get(replica(), grant)).rejects.toMatchObject({ retryAfter: 100 });
    expect(Date.now() - begun).toBeLessThan(1000);
    expect(asked).toHaveLength(1);
    clock.advance(99_500);
    expect(await codeOf(get(replica(), grant))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(2);
  });

  test('a pause that the source named for longer than an hour is one of an hour', async () => {
    const { replica, source } = stage();
    const grant = await grantOf();
    source.issue = () => Promise.reject(away(90_000));
    expect(await codeOf(get(replica(), grant))).toBe('temporarily_unavailable');
    await expect(get(replica(), grant)).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 3_600 });
  });

  test('during such a pause a token that lies in the store is served still', async () => {
    const { clock, replica, source, store } = stage();
    const grant = await grantOf();
    const cache = replica();
    const old = await get(cache, grant);
    source.issue = () => Promise.reject(away(600));
    clock.advance(2700_000);
    void cache.get(grant, ACME);
    await settle();
    expect(store.entries.get('acme/orders')?.lease).toMatchObject({ paused: true });
    expect((await get(replica(), grant)).token.reveal()).toBe(old.token.reveal());
  });

  test('a failure without a pause leaves no lease behind: the next may try at once', async () => {
    const { asked, replica, source } = stage();
    const grant = await grantOf();
    const good = source.issue;
    source.issue = () => Promise.reject(new PosternError('access_denied', 'no'));
    expect(await codeOf(get(replica(), grant))).toBe('access_denied');
    source.issue = good;
    expect(await codeOf(get(replica(), grant))).toBe('ok');
    expect(asked).toHaveLength(2);
  });

  test('a token issued after the lease ran out does not overwrite the one of who took over, and is served', async () => {
    const { asked, clock, replica, source, store } = stage({ leaseMs: 100 });
    const good = source.issue;
    const grant = await grantOf();
    const gate = deferred<void>();
    source.issue = async (g) => {
      await gate.promise;
      return good(g);
    };
    const slow = get(replica(), grant);
    await expect.poll(() => asked.length, { interval: 1 }).toBe(1);
    source.issue = good;
    clock.advance(120);
    const quick = await get(replica(), grant);
    gate.resolve();
    const late = await slow;
    expect(late.token.reveal()).not.toBe(quick.token.reveal());
    expect(store.entries.get('acme/orders')?.token?.accessToken).toBe(quick.token.reveal());
  });

  test("another grant's token at that place is not an answer, and is replaced", async () => {
    const { asked, replica, store } = stage();
    const silver = await grantOf({ tenant: tenantOf({ claims: { 'https://e.com/plan': 'silver' } }) });
    const gold = await grantOf({ tenant: tenantOf({ claims: { 'https://e.com/plan': 'gold' } }) });
    await get(replica(), silver);
    const served = await get(replica(), gold);
    expect(served.token.reveal()).toContain(gold.key);
    expect(asked).toHaveLength(2);
    expect(store.entries.get('acme/orders')?.digest).toBe(gold.digest);
  });
});

describe('a store with faults', () => {
  test('that cannot be read: 503, and the source is not asked', async () => {
    const { asked, cache, store } = stage();
    store.before = (operation) => {
      if (operation === 'read') throw away(1);
    };
    expect(await codeOf(get(cache, await grantOf()))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(0);
  });

  test('that cannot be written before: 503, and the source is not asked', async () => {
    const { asked, cache, store } = stage();
    store.before = (operation) => {
      if (operation === 'write') throw away(1);
    };
    expect(await codeOf(get(cache, await grantOf()))).toBe('temporarily_unavailable');
    expect(asked).toHaveLength(0);
  });

  test('that cannot be written after: the token is served, and kept in memory', async () => {
    const { asked, cache, errors, store } = stage();
    store.before = (operation, token) => {
      if (operation === 'write' && token) throw away(1);
    };
    const grant = await grantOf();
    expect((await get(cache, grant)).from).toBe('source');
    expect((await get(cache, grant)).from).toBe('memory');
    expect([asked.length, errors.length]).toEqual([1, 1]);
  });

  test('that always says "somebody was faster": it ends, and does not spin', async () => {
    const { asked, cache, store } = stage({ now: Date.now, leaseMs: 300 });
    store.write = async () => {
      store.writes++;
      return undefined;
    };
    const begun = Date.now();
    await expect(get(cache, await grantOf())).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
    expect(Date.now() - begun).toBeLessThan(10_000);
    expect(store.writes).toBeLessThan(40);
    expect(asked).toHaveLength(0);
  });

  test("that lost a race once: read again, and the winner's token is taken", async () => {
    const { asked, replica, store } = stage();
    const grant = await grantOf();
    const slow = replica();
    const quick = replica();
    let raced = false;
    store.before = async (operation, token) => {
      if (operation !== 'write' || token || raced) return;
      raced = true;
      await get(quick, grant);
    };
    expect((await get(slow, grant)).from).toBe('store');
    expect(asked).toHaveLength(1);
  });
});

describe('an early reading', () => {
  test("saves the reading, where it holds the grant's own token", async () => {
    const { replica, store } = stage();
    const grant = await grantOf();
    await get(replica(), grant);
    const { reads } = store;
    const served = await replica().get(grant, ACME, store.readEarly('acme', 'orders', ACME));
    expect(served.from).toBe('store');
    expect(store.reads).toBe(reads + 1);
  });

  test("of another grant's token is not an answer", async () => {
    const { replica, store } = stage();
    await get(replica(), await grantOf());
    const other = await grantOf({ identity: { clientId: 'made-anew' } });
    const served = await replica().get(other, ACME, store.readEarly('acme', 'orders', ACME));
    expect(served.token.reveal()).toContain(other.key);
  });

  test('that is out of date costs another look, not a second token', async () => {
    const { asked, replica, store } = stage();
    const grant = await grantOf();
    const early = store.readEarly('acme', 'orders', ACME);
    await early;
    const theirs = await get(replica(), grant);
    const ours = await replica().get(grant, ACME, early);
    expect(ours.token.reveal()).toBe(theirs.token.reveal());
    expect(asked).toHaveLength(1);
  });
});

test('200 tenants × 5 audiences, 3 replicas, concurrent, through expiry: no foreign token', async () => {
  const { clock, replica, source, store } = stage({ lifetime: 600 });
  const good = source.issue;
  source.issue = async (grant) => {
    await new Promise((resolve) => setImmediate(resolve));
    return good(grant);
  };
  let calledAt = 0;
  store.before = () => void (calledAt = performance.now());
  /** Whoever waits for another's lease looks at the store every 150 ms at the latest. */
  const backgroundEnded = async () => {
    while (performance.now() - calledAt < 200) await sleep(20);
  };
  const names = ['a', 'b', 'c', 'd', 'e'];
  const apis = names.map((name) => apiOf(name, { scopes: ['read:all', 'write:all'] }));
  const tenant = tenantOf({ grants: names.map((api) => ({ api, scopes: ['read:all', 'write:all'] })) });
  // Ids that a careless key would run together: t1/a, t1-a, 1 and 11.
  const identities = Array.from({ length: 200 }, (_, i) =>
    identityOf({ tenant: i % 2 ? `t${i}` : `t${i}-a`, clientId: i % 3 ? `c.${i}` : `c.${i}.a` }),
  );
  const wanted = await Promise.all(
    identities.flatMap((identity) =>
      apis.map(async ({ audience }) => ({ identity, grant: await grantOf({ apis, tenant, identity, request: { audience } }) })),
    ),
  );
  expect(new Set(wanted.map(({ grant }) => grant.key)).size).toBe(1000);
  const replicas = [replica(), replica(), replica()];
  let foreign = 0;
  let served = 0;
  let late = 0;
  // A fixed seed: the same order each time.
  let seed = 42;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 1500 }, async () => {
        const want = wanted[random(wanted.length)] as (typeof wanted)[number];
        try {
          const { token } = await (replicas[random(3)] as TokenCache).get(want.grant, want.identity);
          served++;
          if (!token.reveal().startsWith(`${want.grant.key} #`)) foreign++;
        } catch (error) {
          // The clock may jump while a refresh of the round before is still under way: to whoever joins it, the wait has been too long.
          expect(error).toMatchObject({ code: 'temporarily_unavailable' });
          late++;
        }
      }),
    );
    await backgroundEnded();
    clock.advance(90_000);
  }
  expect([foreign, served + late]).toEqual([0, 30_000]);
  expect(late).toBeLessThan(300);
});

describe('a revoked token is served from nowhere', () => {
  /** Replicas that each know of their own revocations. */
  const revocable = (options: Parameters<typeof stage>[0] = {}) => {
    const revoked = new Set<string>();
    return { ...stage({ ...options, revocations: revoked }), revoked };
  };

  test('a token of the store that is revoked while it is being verified is not served', async () => {
    const checking = deferred<boolean>();
    const { cache, replica, revoked } = revocable({ isGenuine: () => checking.promise });
    const { token } = await get(cache, await grantOf());
    const served = get(replica(), await grantOf());
    await settle();
    revoked.add(token.sha256);
    checking.resolve(true);
    expect((await served).token.sha256).not.toBe(token.sha256);
  });

  test('nor one that ends while it is being verified', async () => {
    const checking = deferred<boolean>();
    const { cache, clock, replica } = stage({ lifetime: 60, isGenuine: () => checking.promise });
    const { token } = await get(cache, await grantOf());
    const served = get(replica(), await grantOf());
    await settle();
    clock.advance(61_000);
    checking.resolve(true);
    expect((await served).token.sha256).not.toBe(token.sha256);
  });

  test('not from memory: the next one is fetched, once, and then served', async () => {
    const { asked, cache, revoked } = revocable();
    const grant = await grantOf();
    const { token } = await get(cache, grant);
    revoked.add(token.sha256);
    const again = await Promise.all([get(cache, grant), get(cache, grant), get(cache, grant)]);
    expect(new Set(again.map((served) => served.token)).size).toBe(1);
    expect(again[0]?.token.sha256).not.toBe(token.sha256);
    expect([asked.length, cache.get(grant, ACME)]).toMatchObject([2, { token: again[0]?.token, from: 'memory' }]);
  });

  test('and no early reading is taken for one that memory holds', async () => {
    const { cache, revoked } = revocable();
    const { token } = await get(cache, await grantOf());
    expect(cache.holds('acme', 'orders')).toBe(true);
    revoked.add(token.sha256);
    expect(cache.holds('acme', 'orders')).toBe(false);
  });

  test('not from the store, where a replica that has not heard of it left it, and it is not written back', async () => {
    const { replica, revoked, store } = revocable();
    const grant = await grantOf();
    const { token } = await get(replica(), grant);
    revoked.add(token.sha256);
    const written: (string | undefined)[] = [];
    store.before = (operation, one) => void (operation === 'write' && written.push(one?.sha256));
    const served = await get(replica(), grant);
    expect(served).toMatchObject({ from: 'source' });
    expect(served.token.sha256).not.toBe(token.sha256);
    expect(written).toEqual([undefined, served.token.sha256]);
  });

  test('not even when its source is away: then there is none', async () => {
    const { cache, revoked, source, store } = revocable();
    const grant = await grantOf();
    const { token } = await get(cache, grant);
    revoked.add(token.sha256);
    source.issue = () => Promise.reject(away(7));
    expect(await codeOf(get(cache, grant))).toBe('temporarily_unavailable');
    expect([...store.entries.values()].map((entry) => entry.token)).toEqual([undefined]);
  });

  test('not from a flight that found it in the store just before', async () => {
    const { clock, replica, revoked, source, store } = revocable();
    const grant = await grantOf();
    const { token } = await get(replica(), grant);
    clock.advance(1000);
    // It is revoked while the next one is being stored: by then that one is fetched.
    const { promise: storing, resolve: stored } = deferred<void>();
    const late = replica();
    revoked.add(token.sha256);
    let issued: Token | undefined;
    const issue = source.issue;
    source.issue = async (one) => (issued = await issue(one));
    store.before = (operation, one) => (operation === 'write' && one !== undefined && one === issued ? storing : undefined);
    const flight = get(late, grant);
    await settle();
    // Another replica served it already, and its customer took it back, all while this one still stores it.
    const first = issued!;
    revoked.add(first.sha256);
    stored();
    const served = await flight;
    expect([token.sha256, first.sha256]).not.toContain(served.token.sha256);
    expect(late.get(grant, ACME)).toMatchObject({ token: served.token });
  });

  test('not as a refresh ahead: it is no longer good, so everybody waits for the next', async () => {
    const { asked, cache, clock, revoked } = revocable();
    const grant = await grantOf();
    const { token } = await get(cache, grant);
    clock.advance(3000_000);
    revoked.add(token.sha256);
    expect((await get(cache, grant)).token.sha256).not.toBe(token.sha256);
    expect(asked).toHaveLength(2);
  });

  test('not made anew: a signature over the claims of the same second is the same token, so the next second is waited for', async () => {
    const { asked, cache, revoked, source } = revocable();
    const grant = await grantOf();
    const jwt = (second: number) =>
      new Token(`the token of second ${second}`, grant.scope, 1_800_000_000 + second, 1_800_003_600 + second, 0);
    source.issue = async () => jwt(asked.length <= 2 ? 0 : 1);
    const { token } = await get(cache, grant);
    revoked.add(token.sha256);
    const begun = performance.now();
    expect((await get(cache, grant)).token.sha256).toBe(jwt(1).sha256);
    expect(performance.now() - begun).toBeGreaterThan(990);
    expect(asked).toHaveLength(3);
  });

  test('and a source that has nothing else gives none', async () => {
    const { cache, revoked, source } = revocable();
    const grant = await grantOf();
    const only = new Token('the only one', grant.scope, 1_800_000_000, 1_800_003_600, 0);
    source.issue = async () => only;
    await get(cache, grant);
    revoked.add(only.sha256);
    expect(await codeOf(get(cache, grant))).toBe('temporarily_unavailable');
  });
});

describe('a tenant may hold only so many tokens for fewer than all its scopes', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'e'];
  const subset = (...scopes: string[]) =>
    grantOf({
      apis: [apiOf('orders', { scopes: NAMES })],
      tenant: tenantOf({ grants: [{ api: 'orders', scopes: NAMES }] }),
      request: { scope: scopes.join(' ') },
    });

  test('then it is told so, and no source is asked; what it holds, and the whole, goes on', async () => {
    const { asked, cache, store } = stage({ scopeSets: 3 });
    for (const name of ['a', 'b', 'c']) await get(cache, await subset(name));
    const { writes } = store;
    const refused = get(cache, await subset('d'));
    await expect(refused).rejects.toMatchObject({ code: 'too_many_requests', status: 429, retryAfter: 3600 });
    expect([asked.length, store.writes]).toEqual([3, writes]);
    expect((await get(cache, await subset('a'))).from).toBe('memory');
    expect((await get(cache, await subset(...NAMES))).from).toBe('source');
  });

  test('though they are asked for all at once', async () => {
    const { asked, cache } = stage({ scopeSets: 3 });
    const codes = await Promise.all(NAMES.map(async (name) => codeOf(get(cache, await subset(name)))));
    expect(codes.filter((code) => code === 'ok')).toHaveLength(3);
    expect(asked).toHaveLength(3);
  });

  test('until one of them ends', async () => {
    const { cache, clock } = stage({ scopeSets: 2 });
    await get(cache, await subset('a'));
    clock.advance(1800_000);
    await get(cache, await subset('b'));
    expect(await codeOf(get(cache, await subset('c')))).toBe('too_many_requests');
    clock.advance(1800_000);
    expect(await codeOf(get(cache, await subset('c')))).toBe('ok');
    expect(await codeOf(get(cache, await subset('a')))).toBe('too_many_requests');
  });

  test('one whose fetch failed gives its place back soon', async () => {
    const { cache, clock, source } = stage({ scopeSets: 1 });
    const issue = source.issue;
    source.issue = () => Promise.reject(away());
    expect(await codeOf(get(cache, await subset('a')))).toBe('temporarily_unavailable');
    source.issue = issue;
    expect(await codeOf(get(cache, await subset('b')))).toBe('too_many_requests');
    clock.advance(10_000);
    expect(await codeOf(get(cache, await subset('b')))).toBe('ok');
  });

  test('what another replica fetched counts where it is served', async () => {
    const { replica } = stage({ scopeSets: 2 });
    const [one, other] = [replica(), replica()];
    for (const name of ['a', 'b']) await get(one, await subset(name));
    for (const name of ['a', 'b']) expect((await get(other, await subset(name))).from).toBe('store');
    expect(await codeOf(get(other, await subset('c')))).toBe('too_many_requests');
  });
});

describe('what was asked for lately', () => {
  test('is told, the last first; a token that was fetched ahead only once somebody asks for it', async () => {
    const { cache, clock } = stage();
    const [orders, narrow] = [await grantOf(), await grantOf({ request: { scope: 'read:all' } })];
    await get(cache, orders);
    await get(cache, narrow);
    await get(cache, orders);
    expect(cache.recent().map(({ grant }) => grant)).toEqual([orders, narrow]);
    clock.advance(3000_000);
    for (const held of cache.recent()) expect(cache.refreshAhead(held, ACME)).toBe(true);
    expect(cache.isAwaited(orders)).toBe(false);
    await settle();
    expect(cache.recent()).toEqual([]);
    const { token, from } = await get(cache, orders);
    expect(from).toBe('memory');
    expect(cache.recent().map((held) => held.token)).toEqual([token]);
  });

  test('a client that comes while a token is fetched ahead has asked for it', async () => {
    const { cache, clock, source } = stage();
    const grant = await grantOf();
    await get(cache, grant);
    clock.advance(3000_000);
    const issued = deferred<Token>();
    source.issue = () => issued.promise;
    const [held] = cache.recent();
    expect(cache.refreshAhead(held!, ACME)).toBe(true);
    expect(cache.refreshAhead(held!, ACME)).toBe(false);
    clock.advance(590_000);
    const waiting = get(cache, grant);
    expect(cache.isAwaited(grant)).toBe(true);
    issued.resolve(new Token('next', grant.scope, clock.now() / 1000, clock.now() / 1000 + 3600));
    expect((await waiting).token.reveal()).toBe('next');
    expect(cache.recent().map(({ token }) => token.reveal())).toEqual(['next']);
  });

  test('nothing is fetched ahead before it is due, nor soon after a failure', async () => {
    const { asked, cache, clock, source } = stage();
    const grant = await grantOf();
    await get(cache, grant);
    const [held] = cache.recent();
    expect(cache.refreshAhead(held!, ACME)).toBe(false);
    clock.advance(3000_000);
    source.issue = () => Promise.reject(away());
    expect(cache.refreshAhead(held!, ACME)).toBe(true);
    await settle();
    expect(cache.refreshAhead(held!, ACME)).toBe(false);
    expect(asked).toHaveLength(2);
  });
});

describe('what is forgotten', () => {
  test("is asked for anew, and another tenant's stays", async () => {
    const { cache } = stage();
    const [acme, globex] = [await grantOf(), await grantOf({ identity: { tenant: 'globex' } })];
    const GLOBEX = identityOf({ tenant: 'globex', token: new VaultToken('hvb.globex') });
    await get(cache, acme);
    await cache.get(globex, GLOBEX);
    cache.forget(({ tenant }) => tenant === 'acme');
    expect(cache.size).toBe(1);
    expect((await cache.get(globex, GLOBEX)).from).toBe('memory');
    expect((await get(cache, acme)).from).toBe('store');
  });

  test('while it is under way is neither served nor kept: whoever waits gets a newer one', async () => {
    const { asked, cache, clock, source, store } = stage();
    const grant = await grantOf();
    const first = deferred<Token>();
    source.issue = () => first.promise;
    const waiting = get(cache, grant);
    await expect.poll(() => asked.length).toBe(1);
    cache.forget(({ tenant }) => tenant === 'acme');
    store.entries.clear();
    const iat = clock.now() / 1000;
    source.issue = () => Promise.resolve(new Token('second', grant.scope, iat, iat + 3600));
    first.resolve(new Token('first', grant.scope, iat, iat + 3600));
    expect((await waiting).token.reveal()).toBe('second');
    expect((await get(cache, grant)).token.reveal()).toBe('second');
  });
});

test('a token of the very second in which its tenant lost all tokens is not served', async () => {
  let endedAt = -Infinity;
  const { clock, cache } = stage({ endings: { tokensEndedAt: () => endedAt } });
  const grant = await grantOf();
  const { token } = await get(cache, grant);
  expect((await get(cache, grant)).token).toBe(token);
  endedAt = token.issuedAt;
  clock.advance(2_000);
  const after = await get(cache, grant);
  expect(after.from).toBe('source');
  expect(after.token.reveal()).not.toBe(token.reveal());
});
