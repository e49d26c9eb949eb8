import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { QuotaLedger, restBetweenExchanges, restBetweenLooks } from '#broker/quota/ledger.ts';
import type { LedgerOptions } from '#broker/quota/ledger.ts';
import { pageOf } from '#broker/quota/page.ts';
import { grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { MemoryPages } from './memory-pages.ts';

const grant = await grantOf({ tenant: tenantOf({}) });
const of = (tenant: string, api = 'orders') => Object.assign({}, grant, { tenant, api });
const NOON = Date.UTC(2026, 10, 15, 12);

function stage(options: Partial<LedgerOptions> = {}, store = new MemoryPages()) {
  const onError = vi.fn();
  const ledger = new QuotaLedger({ store, onError, now: () => NOON, patienceMs: 5_000, ...options });
  return { store, ledger, onError };
}

describe('a token is counted', () => {
  test('and that is written before it may be asked for', async () => {
    const { store, ledger } = stage();
    await ledger.count(of('acme'));
    expect(store.count('acme')).toBe(1);
    expect(store.documents.get(`2026-11/${pageOf('acme')}`)?.page.fetched).toEqual({ acme: { orders: 1 } });
  });

  test('by replicas beside each other, whoever is faster', async () => {
    const { store, ledger } = stage();
    const replicas = [ledger, stage({}, store).ledger, stage({}, store).ledger];
    await Promise.all(Array.from({ length: 60 }, (_, n) => replicas[n % 3]!.count(of('acme', n % 2 === 0 ? 'orders' : 'stock'))));
    expect(store.count('acme')).toBe(60);
  });

  test('many at once are few writes', async () => {
    const { store, ledger } = stage();
    await Promise.all(Array.from({ length: 500 }, () => ledger.count(of('acme'))));
    expect(store.count('acme')).toBe(500);
    expect(store.writes).toBeLessThan(4);
  });

  test('and taken back where none was made, once', async () => {
    const { store, ledger } = stage();
    const counted = await ledger.count(of('acme'));
    counted.takeBack();
    counted.takeBack();
    await ledger.flush();
    expect(store.count('acme')).toBe(0);
  });

  test('in the month in which it is asked for', async () => {
    let now = Date.UTC(2026, 11, 1) - 1;
    const { store, ledger } = stage({ now: () => now });
    await ledger.count(of('acme'));
    now += 1;
    await ledger.count(of('acme'));
    expect([...store.documents.keys()].map((key) => key.slice(0, 7)).sort()).toEqual(['2026-11', '2026-12']);
  });

  test('and taken back from its month where that has ended meanwhile', async () => {
    let now = Date.UTC(2026, 11, 1) - 10;
    const { store, ledger } = stage({ now: () => now });
    const counted = await ledger.count(of('acme'));
    now += 60_000;
    await ledger.flush();
    counted.takeBack();
    await ledger.flush();
    expect(store.documents.get(`2026-11/${pageOf('acme')}`)?.page.fetched['acme']?.['orders']).toBe(0);
    now += 600_000;
    await ledger.flush();
    expect(ledger.unwritten).toBe(0);
  });

  test('refused by a month that ends meanwhile is told its end', async () => {
    let now = Date.UTC(2026, 11, 1) - 10;
    const { store, ledger } = stage({ now: () => now, capOf: () => 1 });
    await ledger.count(of('acme'));
    const read = store.read.bind(store);
    store.read = async (...which) => {
      now = Date.UTC(2026, 11, 1) + 5;
      return read(...which);
    };
    const late = stage({ now: () => now, capOf: () => 1 }, store).ledger;
    await expect(late.count(of('acme'))).rejects.toMatchObject({ code: 'too_many_requests', retryAfter: 1 });
    await late.count(of('acme'));
  });

  test('as exchanged in the month in which it was, whenever that is written, and though the clock is set back over its end', async () => {
    let now = Date.UTC(2026, 11, 1) - 60_000;
    const { store, ledger } = stage({ now: () => now });
    for (let i = 0; i < 10; i++) ledger.exchanged(of('acme'));
    now += 90_000;
    for (let i = 0; i < 3; i++) ledger.exchanged(of('acme'));
    now -= 60_000;
    ledger.exchanged(of('acme'));
    now += 60_000;
    await ledger.stop();
    const exchanged = (month: string): unknown => store.documents.get(`${month}/${pageOf('acme')}`)?.page.exchanged;
    expect([exchanged('2026-11'), exchanged('2026-12')]).toEqual([{ acme: { orders: 11 } }, { acme: { orders: 3 } }]);
  });

  test.each(['constructor', 'tostring', 'valueof', 'a'])('for a tenant of the name %s', async (tenant) => {
    const { store, ledger } = stage();
    await ledger.count(of(tenant, 'constructor'));
    await ledger.count(of(tenant, 'constructor'));
    expect(store.count(tenant)).toBe(2);
  });
});

describe('where Vault', () => {
  test('is away nobody waits or fails, and what was counted is written once it is there', async () => {
    const { store, ledger, onError } = stage();
    store.away = true;
    for (let n = 0; n < 20; n++) await ledger.count(of('acme'));
    expect([ledger.unwritten, store.count('acme')]).toEqual([20, 0]);
    expect(onError).toHaveBeenCalled();
    store.away = false;
    await ledger.flush();
    expect([ledger.unwritten, store.count('acme')]).toEqual([0, 20]);
  });

  test('does not answer in time: it is asked for all the same, and counted once', async () => {
    const { store, ledger } = stage({ patienceMs: 20 });
    const slow = Promise.withResolvers<void>();
    store.before = () => slow.promise;
    await ledger.count(of('acme'));
    slow.resolve();
    await ledger.flush();
    expect(store.count('acme')).toBe(1);
  });

  test('wrote and the answer was lost: it is not counted twice', async () => {
    const { store, ledger } = stage();
    store.troubles = ['silent', 'silent'];
    for (let n = 0; n < 4; n++) await ledger.count(of('acme'));
    await ledger.flush();
    expect(store.count('acme')).toBe(4);
  });

  test('refuses, as where the policy is of an older version: it is counted in memory', async () => {
    const { store, ledger } = stage();
    store.troubles = ['denied'];
    await ledger.count(of('acme'));
    expect(store.count('acme')).toBe(0);
    await ledger.flush();
    expect(store.count('acme')).toBe(1);
  });

  test('whatever happens to writes, in the end each token is counted once', async () => {
    const trouble = fc.constantFrom('away' as const, 'silent' as const, 'denied' as const, undefined);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), trouble), { maxLength: 30 }), async (steps) => {
        const store = new MemoryPages();
        const replicas = Array.from({ length: 3 }, () => stage({ patienceMs: 1_000 }, store).ledger);
        for (const [replica, what] of steps) {
          if (what !== undefined) store.troubles.push(what);
          await replicas[replica]!.count(of('acme'));
        }
        store.troubles = [];
        for (const ledger of replicas) await ledger.flush();
        expect(store.count('acme')).toBe(steps.length);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a cap', () => {
  const capped = (cap: number, more: Partial<LedgerOptions> = {}) => ({ capOf: () => cap, ...more });

  test('is exact over replicas that count at once', async () => {
    const { store, ledger } = stage(capped(10));
    const replicas = [ledger, stage(capped(10), store).ledger, stage(capped(10), store).ledger];
    const all = await Promise.allSettled(Array.from({ length: 60 }, (_, n) => replicas[n % 3]!.count(of('acme'))));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(store.count('acme')).toBe(10);
  });

  test('refuses with 429 until the month ends, asks nobody any more, and is no neighbour’s', async () => {
    const { store, ledger } = stage({ capOf: ({ tenant }) => (tenant === 'acme' ? 1 : Infinity) });
    await ledger.count(of('acme'));
    const error: unknown = await ledger.count(of('acme')).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'too_many_requests', status: 429, retryAfter: (Date.UTC(2026, 11, 1) - NOON) / 1000 });
    const { writes } = store;
    store.away = true;
    expect(() => ledger.admit(of('acme'))).toThrow(/used up its tokens of this month \(1\)/);
    store.away = false;
    expect(store.writes).toBe(writes);
    expect(ledger.refused).toBe(2);
    ledger.admit(of('globex'));
    await ledger.count(of('globex'));
    expect(store.count('globex')).toBe(1);
  });

  test('holds by what is known where Vault is away', async () => {
    const { store, ledger } = stage(capped(2));
    store.away = true;
    await ledger.count(of('acme'));
    await ledger.count(of('acme'));
    await expect(ledger.count(of('acme'))).rejects.toMatchObject({ code: 'too_many_requests' });
  });

  test('gives back what was taken back', async () => {
    const { ledger } = stage(capped(1));
    (await ledger.count(of('acme'))).takeBack();
    await ledger.count(of('acme'));
  });
});

test('what clients exchanged is counted beside it, and at the end all of it is written', async () => {
  const { store, ledger } = stage();
  ledger.start();
  for (let n = 0; n < 1_000; n++) ledger.exchanged(of('acme'));
  ledger.exchanged(of('globex'));
  await ledger.stop();
  expect([store.count('acme', 'exchanged'), store.count('globex', 'exchanged'), store.count('acme')]).toEqual([1000, 1, 0]);
});

test('the end waits for no look and no write longer than it is given, and what could not be written is told', async () => {
  const store = new MemoryPages();
  const onUnwritten = vi.fn();
  const { ledger } = stage({ onUnwritten, patienceMs: 10 }, store);
  store.pages = () => new Promise(() => {});
  ledger.start();
  ledger.exchanged(of('acme'));
  store.before = () => new Promise(() => {});
  await ledger.count(of('acme'));
  const begun = performance.now();
  await ledger.stop(200);
  expect(performance.now() - begun).toBeLessThan(2_000);
  expect(onUnwritten.mock.calls).toEqual([[1]]);
});

test('a look that hangs keeps the end from writing nothing', async () => {
  const store = new MemoryPages();
  const onUnwritten = vi.fn();
  const { ledger } = stage({ onUnwritten }, store);
  store.pages = () => new Promise(() => {});
  ledger.start();
  ledger.exchanged(of('acme'));
  await ledger.stop(200);
  expect([store.count('acme', 'exchanged'), onUnwritten.mock.calls.length]).toEqual([1, 0]);
});

test('others’ counts are seen after a look', async () => {
  const { store, ledger } = stage();
  const other = stage({}, store).ledger;
  await other.count(of('acme'));
  await other.count(of('globex'));
  expect(ledger.pages()).toEqual([]);
  await ledger.look();
  expect(ledger.pages().reduce((sum, { fetched }) => sum + Object.keys(fetched).length, 0)).toBe(2);
});

test('a page that nothing was counted in is not copied each time it is asked for', async () => {
  const { store, ledger } = stage();
  store.documents.set('2026-11/00', { page: { fetched: { t: { orders: 1 } }, exchanged: {}, writes: [] }, version: 1 });
  await ledger.look();
  expect(ledger.pages()[0]).toBe(ledger.pages()[0]);
  ledger.exchanged(of('t'));
  expect(ledger.pages()).toHaveLength(1);
});

describe('looks', () => {
  test('read two pages at a time, so that replicas which start together leave Vault to others', async () => {
    const { store, ledger } = stage();
    for (let n = 0; n < 20; n++)
      store.documents.set(`2026-11/${n.toString(16).padStart(2, '0')}`, { page: { fetched: {}, exchanged: {}, writes: [] }, version: 1 });
    let [reading, most] = [0, 0];
    const read = store.read.bind(store);
    store.read = async (month, page) => {
      most = Math.max(most, ++reading);
      await new Promise((resolve) => setTimeout(resolve, 1));
      reading--;
      return read(month, page);
    };
    await ledger.look();
    expect(most).toBe(2);
    expect(ledger.pages()).toHaveLength(20);
  });

  test.each([
    [0, 60_000],
    [150_000, 60_000],
    [200_000, 80_000],
    [2_000_000, 800_000],
  ])('at a ledger of %i entries rest %i ms: a large one is read more seldom', (entries, ms) => {
    expect(restBetweenLooks(entries)).toBe(ms);
  });

  test.each([
    [90_000, 300_000],
    [200_000, 666_667],
    [2_000_000, 6_666_667],
  ])('at a ledger of %i entries exchanges are written each %i ms', (entries, ms) => {
    expect(Math.round(restBetweenExchanges(entries, 300_000))).toBe(ms);
  });

  test('rest by what was read', async () => {
    const store = new MemoryPages();
    const tenants = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`t${n}`, { orders: 1 }]));
    store.documents.set('2026-11/00', { page: { fetched: tenants, exchanged: {}, writes: [] }, version: 1 });
    const looks: number[] = [];
    const { ledger } = stage({ refreshMs: 1, onLook: () => looks.push(performance.now()) }, store);
    ledger.start();
    await vi.waitUntil(() => looks.length === 2, { timeout: 15_000 });
    await ledger.stop(0);
    // 400 ms, a quarter less at least.
    expect((looks[1] ?? 0) - (looks[0] ?? 0)).toBeGreaterThan(290);
  });
});
