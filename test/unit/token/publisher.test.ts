import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { Generations } from '#broker/credential/generations.ts';
import { PosternError } from '#broker/error.ts';
import type { Publication, PublicationStore, Published } from '#broker/token/publications.ts';
import { Leadership } from '#broker/token/leadership.ts';
import { Publisher } from '#broker/token/publisher.ts';
import { Token } from '#broker/token/token.ts';
import type { Lease } from '#broker/token/store.ts';
import type { Leading, Publishing } from '#broker/token/work.ts';
import { apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { Clock } from '#test/unit/credential/clock.ts';

/** Of a token, seconds. */
const LIFETIME = 600;
const LEAD = 60;
const away = new PosternError('temporarily_unavailable', 'away');

/** Publications and what lies at each place, with check-and-set. */
class MemoryPublications implements PublicationStore {
  readonly marked = new Map<string, readonly string[]>();
  readonly places = new Map<string, { version: number; token: Token | undefined }>();
  readonly remembered = new Map<string, ReadonlyMap<string, Published>>();
  calls = 0;
  readonly asked: Record<string, number> = {};
  /** Throws for an outage; after a write, for a lost reply. */
  around: (what: string, moment: 'before' | 'after', signal?: AbortSignal) => void | Promise<void> = () => {};

  tenants = (signal?: AbortSignal) => this.#call('tenants', () => [...new Set([...this.marked.keys(), ...this.remembered.keys()])], signal);
  publication = (tenant: string) =>
    this.#call('publication', (): Publication | undefined => {
      const apis = this.marked.get(tenant);
      return apis === undefined ? undefined : { tenant, clientId: `${tenant}-id`, apis, marked: apis };
    });
  published = (tenant: string) => this.#call('published', () => new Map(this.remembered.get(tenant)));
  remember = (tenant: string, all: ReadonlyMap<string, Published>) =>
    this.#call('remember', () => {
      if (all.size === 0) this.remembered.delete(tenant);
      else this.remembered.set(tenant, new Map(all));
    });
  version = (tenant: string, api: string) => this.#call('version', () => this.places.get(`${tenant}/${api}`)?.version ?? 0);
  check = (_tenant: string, _api: string) => this.#call('check', () => {});
  publish = ({ tenant, api }: { tenant: string; api: string }, token: Token | undefined, version: number) =>
    this.#call('publish', () => {
      const now = this.places.get(`${tenant}/${api}`)?.version ?? 0;
      if (now !== version) return undefined;
      this.places.set(`${tenant}/${api}`, { version: version + 1, token });
      return version + 1;
    });

  async #call<T>(what: string, work: () => T, signal?: AbortSignal): Promise<T> {
    this.calls++;
    this.asked[what] = (this.asked[what] ?? 0) + 1;
    await this.around(what, 'before', signal);
    const done = work();
    await this.around(what, 'after');
    return done;
  }
}

function stage() {
  const clock = new Clock();
  const store = new MemoryPublications();
  const generations = new Generations();
  const leader = { holder: 0 };
  const denied = new Set<string>();
  const failing = new Set<string>();
  const revoked = new Set<string>();
  const metered = new Set<string>();
  const issued: Token[] = [];
  const work: Publishing[] = [];
  const errors: [string | undefined, unknown][] = [];
  const onIssue = { now: (_tenant: string): void | Promise<void> => {} };
  const replica = (number: number): Publisher =>
    new Publisher({
      store,
      leadership: {
        seek: async () => leader.holder === number,
        get held() {
          return leader.holder === number;
        },
        giveUp: async () => {
          leader.holder = -1;
        },
      },
      authorize: async ({ tenant }, api): Promise<AuthorizedGrant> => {
        if (denied.has(tenant)) throw new PosternError('unauthorized_client', 'disabled');
        return grantOf({
          apis: [apiOf('orders'), apiOf('reports')],
          tenant: tenantOf({ grants: ['orders', 'reports'].map((one) => ({ api: one, scopes: ['read:all'] })) }),
          identity: { tenant, clientId: `${tenant}-id` },
          request: { audience: `https://${api}.example.com` },
        });
      },
      issue: async ({ api, tenant }) => {
        await onIssue.now(tenant);
        if (failing.has(api)) throw away;
        const now = Math.floor(clock.now() / 1000);
        const token = new Token(`${tenant} ${api} #${issued.length}`, 'read:all', now, now + LIFETIME, 0);
        issued.push(token);
        return token;
      },
      generations,
      isRevoked: ({ sha256 }) => revoked.has(sha256),
      isServable: ({ sha256, expiresAt }) => !revoked.has(sha256) && expiresAt * 1000 > clock.now(),
      isMetered: (source) => metered.has(source),
      lead: LEAD,
      onError: (tenant, error) => errors.push([tenant, error]),
      onWork: (one) => work.push(one),
      now: clock.now,
      monotonic: clock.monotonic,
      random: () => 0,
    });
  const lies = (tenant: string, api = 'orders'): string | undefined => store.places.get(`${tenant}/${api}`)?.token?.reveal();
  /** What was announced of a tenant. */
  const changed = (tenant: string): void => generations.changed(tenant);
  return { clock, store, generations, leader, denied, failing, revoked, metered, issued, work, errors, onIssue, replica, lies, changed };
}

describe('a marked tenant', () => {
  test('has a token at once, the next one the lead before its end, and none in between', async () => {
    const { clock, store, issued, work, replica, lies } = stage();
    store.marked.set('acme', ['orders', 'reports']);
    const publisher = replica(0);
    await publisher.round();
    expect([lies('acme'), lies('acme', 'reports')]).toEqual(['acme orders #0', 'acme reports #1']);
    const until = async (end: number): Promise<void> => {
      for (; clock.monotonic() < end * 1_000; clock.advance(1_000)) await publisher.round();
    };
    await until(LIFETIME - LEAD * 1.2);
    expect(issued.length).toBe(2);
    await until(LIFETIME - LEAD);
    await publisher.round();
    expect(issued.length).toBe(4);
    expect([lies('acme'), lies('acme', 'reports')].toSorted()).toEqual([issued[2], issued[3]].map((one) => one?.reveal()).toSorted());
    expect(work.map(({ outcome, token }) => [outcome, token?.reveal()])).toEqual(issued.map((one) => ['published', one.reveal()]));
  });

  test('is due at another time than others whose tokens are as old: within a fifth of the lead', async () => {
    const { clock, store, issued, replica } = stage();
    for (let at = 0; at < 200; at++) store.marked.set(`t-${at}`, ['orders']);
    const publisher = replica(0);
    await publisher.round();
    clock.advance((LIFETIME - LEAD * 1.2) * 1_000 - 1_000);
    const due: number[] = [];
    for (let second = 0; second <= LEAD * 0.2 + 1; second++) {
      const before = issued.length;
      await publisher.round();
      due.push(issued.length - before);
      clock.advance(1_000);
    }
    expect(issued.length).toBe(400);
    expect(due[0]).toBe(0);
    expect(Math.max(...due)).toBeLessThan(60);
  });

  test('costs Vault nothing while nothing is due and nothing was announced', async () => {
    const { clock, store, replica } = stage();
    store.marked.set('acme', ['orders']);
    const publisher = replica(0);
    await publisher.round();
    clock.advance(11_000);
    await publisher.round();
    const { calls } = store;
    for (let second = 0; second < 200; second++) {
      clock.advance(1_000);
      await publisher.round();
    }
    expect(store.calls).toBe(calls);
  });

  test.each([
    ['is not marked any more', (of: ReturnType<typeof stage>) => of.store.marked.delete('acme')],
    ['lost the grant', (of: ReturnType<typeof stage>) => of.store.marked.set('acme', ['reports'])],
    ['is disabled', (of: ReturnType<typeof stage>) => of.denied.add('acme')],
  ])('that %s has none in the next round, and it is told', async (_, happens) => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    const publisher = of.replica(0);
    await publisher.round();
    const [token] = of.issued;
    happens(of);
    of.changed('acme');
    await publisher.round();
    expect(of.lies('acme')).toBeUndefined();
    expect(of.work.find(({ outcome }) => outcome === 'withdrawn')).toMatchObject({ tenant: 'acme', api: 'orders', sha256: token?.sha256 });
    expect(of.store.remembered.get('acme')?.has('orders') ?? false).toBe(false);
  });

  test('that lost its mark while another published, or nobody, has none when the next one begins', async () => {
    const { store, leader, replica, lies, changed } = stage();
    store.marked.set('acme', ['orders']);
    await replica(0).round();
    leader.holder = 1;
    store.marked.delete('acme');
    changed('acme');
    await replica(1).round();
    expect(lies('acme')).toBeUndefined();
    expect(store.remembered.has('acme')).toBe(false);
  });

  test('whose token was revoked has another in the next round', async () => {
    const { store, issued, revoked, replica, lies } = stage();
    store.marked.set('acme', ['orders']);
    const publisher = replica(0);
    await publisher.round();
    revoked.add(issued[0]!.sha256);
    await publisher.round();
    expect(lies('acme')).toBe('acme orders #1');
  });

  test('whose place somebody cleared after an announcement has it again', async () => {
    const { clock, store, replica, lies, changed } = stage();
    store.marked.set('acme', ['orders']);
    const publisher = replica(0);
    await publisher.round();
    changed('acme');
    await publisher.round();
    expect(lies('acme')).toBe('acme orders #0');
    clock.advance(2_000);
    store.places.delete('acme/orders');
    await publisher.round();
    expect(lies('acme')).toBe('acme orders #1');
  });
});

describe('what fails', () => {
  test('at one API keeps neither the other nor another tenant back, and is tried again after a pause', async () => {
    const { clock, store, failing, work, errors, replica, lies } = stage();
    store.marked.set('acme', ['orders', 'reports']).set('globex', ['orders', 'reports']);
    failing.add('orders');
    const publisher = replica(0);
    for (let second = 0; second < 5; second++) {
      await publisher.round();
      clock.advance(1_000);
    }
    expect([lies('acme'), lies('acme', 'reports'), lies('globex', 'reports')]).toEqual([undefined, expect.any(String), expect.any(String)]);
    expect(work.filter(({ outcome }) => outcome === 'failed').map(({ tenant, api, error }) => [tenant, api, error])).toEqual([
      ['acme', 'orders', away],
      ['globex', 'orders', away],
    ]);
    expect(errors).toEqual([
      ['acme', away],
      ['globex', away],
    ]);
    failing.clear();
    clock.advance(1_000);
    await publisher.round();
    expect(lies('acme')).toBeDefined();
  });

  test('a reply that is lost after the write: the same token once more, and none that ended', async () => {
    const { clock, store, issued, replica, lies } = stage();
    store.marked.set('acme', ['orders']);
    store.around = (what, moment) => {
      if (what !== 'publish' || moment !== 'after') return;
      store.around = () => {};
      throw away;
    };
    const publisher = replica(0);
    await publisher.round();
    expect(lies('acme')).toBe('acme orders #0');
    clock.advance(6_000);
    await publisher.round();
    expect([lies('acme'), store.places.get('acme/orders')?.version, issued.length]).toEqual(['acme orders #0', 2, 1]);
    clock.advance(6_000);
    await publisher.round();
    expect([store.places.get('acme/orders')?.version, issued.length]).toEqual([2, 1]);
  });

  test('a reply that is lost after what lay there was taken away: it is still taken away, and forgotten', async () => {
    const { clock, store, replica, lies, changed } = stage();
    store.marked.set('acme', ['orders']);
    const publisher = replica(0);
    await publisher.round();
    store.marked.delete('acme');
    changed('acme');
    store.around = (what, moment) => {
      if (what !== 'publish' || moment !== 'after') return;
      store.around = () => {};
      throw away;
    };
    await publisher.round();
    expect(lies('acme')).toBeUndefined();
    clock.advance(6_000);
    await publisher.round();
    expect([lies('acme'), store.remembered.has('acme')]).toEqual([undefined, false]);
  });

  test('Vault away: what lies there stays, and rounds go on when it is back', async () => {
    const { clock, store, replica, lies } = stage();
    store.marked.set('acme', ['orders']);
    const publisher = replica(0);
    await publisher.round();
    store.around = () => {
      throw away;
    };
    clock.advance((LIFETIME - LEAD) * 1_000);
    await publisher.round().catch(() => {});
    expect(lies('acme')).toBe('acme orders #0');
    store.around = () => {};
    clock.advance(6_000);
    await publisher.round();
    expect(lies('acme')).toBe('acme orders #1');
  });
});

describe('a token that could not be written', () => {
  /** Only writes of tokens fail. */
  const refusing = (of: ReturnType<typeof stage>): void => {
    of.store.around = (what, moment) => {
      if (what === 'publish' && moment === 'before') throw away;
    };
  };
  const mended = (of: ReturnType<typeof stage>): void => void (of.store.around = () => {});

  test('is tried again after longer and longer pauses, is told, and no other is paid for', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    refusing(of);
    const publisher = of.replica(0);
    for (let second = 0; second < LIFETIME - 100; second++) {
      await publisher.round();
      of.clock.advance(1_000);
    }
    // At 0, 5, 15, 35, 75, 155, 315 and 495 s.
    expect([of.issued.length, of.store.asked['publish']]).toEqual([1, 8]);
    expect([publisher.failing, publisher.warnings]).toEqual([1, [expect.stringMatching(/^published tokens: 1 could not be put/)]]);
  });

  test('lies there once it can be written', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    refusing(of);
    const publisher = of.replica(0);
    await publisher.round();
    mended(of);
    of.clock.advance(5_000);
    await publisher.round();
    expect([of.lies('acme'), of.issued.length, publisher.failing, publisher.warnings]).toEqual(['acme orders #0', 1, 0, []]);
  });

  test.each([
    ['it was revoked', (of: ReturnType<typeof stage>) => void of.revoked.add(of.issued[0]!.sha256), 'acme orders #1'],
    ['something was announced of the tenant', (of: ReturnType<typeof stage>) => of.changed('acme'), 'acme orders #1'],
    [
      'the tenant was disabled',
      (of: ReturnType<typeof stage>) => {
        of.denied.add('acme');
        of.changed('acme');
      },
      undefined,
    ],
  ])('is not written where meanwhile %s', async (_, happens, expected) => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    refusing(of);
    const publisher = of.replica(0);
    await publisher.round();
    happens(of);
    mended(of);
    of.clock.advance(6_000);
    await publisher.round();
    expect(of.lies('acme')).toBe(expected);
  });

  test('is not written where it is revoked in the last moment', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    refusing(of);
    const publisher = of.replica(0);
    await publisher.round();
    of.store.around = (what) => {
      if (what === 'version') of.revoked.add(of.issued[0]!.sha256);
    };
    of.clock.advance(6_000);
    await publisher.round();
    expect(of.lies('acme')).not.toBe('acme orders #0');
  });

  test('is forgotten by a replica that no longer publishes', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    refusing(of);
    const publisher = of.replica(0);
    await publisher.round();
    of.leader.holder = 1;
    await publisher.round();
    of.leader.holder = 0;
    mended(of);
    of.clock.advance(6_000);
    await publisher.round();
    expect(of.lies('acme')).toBe('acme orders #1');
  });

  test('where somebody else wrote first is written over that, and costs no other', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    of.onIssue.now = () => void of.store.places.set('acme/orders', { version: 7, token: undefined });
    const publisher = of.replica(0);
    await publisher.round();
    await publisher.round();
    expect([of.lies('acme'), of.issued.length]).toEqual(['acme orders #0', 1]);
  });

  test('is never asked for where it is known beforehand that it could not', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    of.store.around = (what) => {
      if (what === 'check') throw away;
    };
    const publisher = of.replica(0);
    for (let second = 0; second < 60; second++) {
      await publisher.round();
      of.clock.advance(1_000);
    }
    expect([of.issued.length, of.store.asked['check'], publisher.failing]).toEqual([0, 4, 1]);
  });
});

describe('a source', () => {
  const crowd = (of: ReturnType<typeof stage>, size: number): void => {
    for (let at = 0; at < size; at++) of.store.marked.set(`t-${at}`, ['orders']);
  };

  test('whose issuer counts is asked at a pace: twenty a second, and in the end for all', async () => {
    const of = stage();
    of.metered.add('transit');
    crowd(of, 200);
    const publisher = of.replica(0);
    for (let second = 0; second < 10; second++) {
      await publisher.round();
      expect(of.issued.length).toBe(20 * (second + 1));
      of.clock.advance(1_000);
    }
    await publisher.round();
    expect(of.issued.length).toBe(200);
  });

  test('that fails for the first ones gives the others their turn all the same', async () => {
    const of = stage();
    of.metered.add('transit');
    crowd(of, 161);
    of.onIssue.now = (tenant) => {
      if (tenant !== 't-160') throw new PosternError('misconfigured', 'refused');
    };
    const publisher = of.replica(0);
    for (let second = 0; second < 9; second++) {
      await publisher.round();
      of.clock.advance(1_000);
    }
    expect(of.lies('t-160')).toBeDefined();
  });

  test('that is away for all is tried by one now and then, costs Vault next to nothing, and serves all when it is back', async () => {
    const of = stage();
    crowd(of, 500);
    const publisher = of.replica(0);
    let asked = 0;
    of.onIssue.now = () => {
      asked++;
      throw new PosternError('temporarily_unavailable', 'away', { retryAfter: 2 });
    };
    await publisher.round();
    expect(asked).toBeLessThanOrEqual(10);
    const [first, { version }] = [asked, { ...of.store.asked }];
    for (let second = 0; second < 60; second++) {
      of.clock.advance(1_000);
      await publisher.round();
    }
    expect(asked - first).toBeGreaterThanOrEqual(15);
    expect(asked - first).toBeLessThanOrEqual(31);
    expect((of.store.asked['version'] ?? 0) - (version ?? 0)).toBeLessThanOrEqual(31);
    of.onIssue.now = () => {};
    for (let second = 0; second < 10; second++) {
      of.clock.advance(1_000);
      await publisher.round();
    }
    expect(of.store.places.size).toBe(500);
  });

  test('that fails for one tenant, or two, is asked for the others', async () => {
    const of = stage();
    crowd(of, 2);
    of.onIssue.now = (tenant) => {
      if (tenant === 't-0' || tenant === 't-1') throw away;
    };
    const publisher = of.replica(0);
    await publisher.round();
    crowd(of, 8);
    of.changed('t-7');
    await publisher.round();
    expect(of.store.places.size).toBe(6);
  });
});

describe('the end of the process', () => {
  test('breaks off a list that Vault does not answer', async () => {
    const of = stage();
    of.store.around = async (what, _, signal) => {
      if (what === 'tenants') await sleep(30_000, undefined, signal === undefined ? {} : { signal });
    };
    const publisher = of.replica(0);
    publisher.start();
    const begun = performance.now();
    await publisher.stop();
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(of.errors).toEqual([]);
  });

  test('does not wait for a round that hangs, which then writes nothing', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    const hung = Promise.withResolvers<void>();
    of.onIssue.now = () => hung.promise;
    const publisher = of.replica(0);
    publisher.start();
    await expect.poll(() => of.store.asked['check']).toBe(1);
    const begun = performance.now();
    await publisher.stop();
    expect(performance.now() - begun).toBeLessThan(4_000);
    expect(of.leader.holder).toBe(-1);
    hung.resolve();
    await expect.poll(() => of.issued.length).toBe(1);
    await sleep(10);
    expect(of.lies('acme')).toBeUndefined();
  });

  test('lets a token that is paid for be written', async () => {
    const of = stage();
    of.store.marked.set('acme', ['orders']);
    of.onIssue.now = () => sleep(300);
    const publisher = of.replica(0);
    publisher.start();
    await expect.poll(() => of.store.asked['check']).toBe(1);
    await publisher.stop();
    expect(of.lies('acme')).toBe('acme orders #0');
  });
});

test('thousands of tenants, which take longer than a lease lasts, are all published by one replica', async () => {
  const clock = new Clock();
  const store = new MemoryPublications();
  const names = Array.from({ length: 3_000 }, (_, at) => `t-${at}`);
  for (const name of names) store.marked.set(name, ['orders']);
  // A call takes its time.
  store.around = (_, moment) => {
    if (moment === 'before') clock.advance(5);
  };
  let lease: { lease: Lease | undefined; version: number } = { lease: undefined, version: 0 };
  const handovers: Leading[] = [];
  const replica = (): Publisher =>
    new Publisher({
      store,
      leadership: new Leadership({
        store: {
          read: async () => lease,
          write: async (next, version) => {
            if (version !== lease.version) return undefined;
            lease = { lease: next, version: version + 1 };
            return lease.version;
          },
        },
        leaseMs: 10_000,
        now: clock.now,
        monotonic: clock.monotonic,
        onHandover: (handover) => handovers.push(handover),
      }),
      authorize: async ({ tenant }) => grantOf({ identity: { tenant, clientId: `${tenant}-id` } }),
      issue: async ({ tenant }) => new Token(tenant, '', Math.floor(clock.now() / 1000), Math.floor(clock.now() / 1000) + 86_400, 0),
      generations: new Generations(),
      isRevoked: () => false,
      isServable: () => true,
      lead: LEAD,
      onError: (_, error) => expect.fail(String(error)),
      now: clock.now,
      monotonic: clock.monotonic,
    });
  const [a, b] = [replica(), replica()];
  let others: Promise<void> = Promise.resolve();
  const around = store.around;
  let calls = 0;
  store.around = (what, moment) => {
    // Meanwhile the other one looks whether it is free, as it does each second.
    if (++calls % 400 === 0) others = others.then(() => b.round());
    return around(what, moment);
  };
  await a.round();
  await others;
  expect(store.places.size).toBe(names.length);
  expect(handovers).toHaveLength(1);
});

describe('two replicas', () => {
  test('where another took over while a token was issued, nothing is written', async () => {
    const { store, leader, onIssue, replica, lies } = stage();
    store.marked.set('acme', ['orders']);
    onIssue.now = () => void (leader.holder = 1);
    await replica(0).round();
    expect(lies('acme')).toBeUndefined();
  });

  test('a replica whose clock makes it unable to lets another publish, and tries again after a minute', async () => {
    const { clock, store, leader, lies, onIssue, replica } = stage();
    store.marked.set('acme', ['orders']);
    onIssue.now = () => {
      throw new PosternError('misconfigured', 'refused', { retryAfter: 10, here: true });
    };
    const wrong = replica(0);
    await wrong.round();
    expect(leader.holder).toBe(-1);
    // Free or not, it doesn't take it back.
    leader.holder = 0;
    const { calls } = store;
    clock.advance(59_000);
    await wrong.round();
    expect(store.calls).toBe(calls);
    onIssue.now = () => {};
    leader.holder = 1;
    await replica(1).round();
    expect(lies('acme')).toBe('acme orders #0');
    clock.advance(1_000);
    leader.holder = 0;
    await wrong.round();
    expect(store.calls).toBeGreaterThan(calls);
  });

  test('where something was announced while a token was issued, nothing is written', async () => {
    const { store, denied, onIssue, replica, lies, changed } = stage();
    store.marked.set('acme', ['orders']);
    onIssue.now = () => {
      denied.add('acme');
      changed('acme');
    };
    const publisher = replica(0);
    await publisher.round();
    await publisher.round();
    expect(lies('acme')).toBeUndefined();
  });

  test('the next one goes on with what the one before left, and issues nothing that is not due', async () => {
    const { clock, store, leader, issued, replica, lies } = stage();
    store.marked.set('acme', ['orders']);
    const [a, b] = [replica(0), replica(1)];
    await a.round();
    await b.round();
    leader.holder = 1;
    await a.round();
    await b.round();
    expect(issued.length).toBe(1);
    clock.advance((LIFETIME - LEAD) * 1_000);
    await a.round();
    await b.round();
    expect([issued.length, lies('acme')]).toEqual([2, 'acme orders #1']);
  });

  test('where nobody is marked nobody looks who publishes', async () => {
    const { store, replica } = stage();
    const publisher = replica(0);
    await publisher.round();
    const { calls } = store;
    for (let round = 0; round < 10; round++) await publisher.round();
    expect(store.calls).toBe(calls);
  });
});
