import { describe, expect, test } from 'vitest';
import { QuotaLedger } from '#broker/quota/ledger.ts';
import { formerPageOf, pageOf } from '#broker/quota/page.ts';
import { reportOf } from '#broker/quota/report.ts';
import { quotaTerms } from '#broker/quota/terms.ts';
import { QuotaWatch } from '#broker/quota/watch.ts';
import type { QuotaNotice } from '#broker/quota/watch.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { MemoryPages } from './memory-pages.ts';

const grant = await grantOf({ tenant: tenantOf({}) });
const NOON = Date.UTC(2026, 10, 15, 12);
const MONTH = '2026-11';
/** A tenant that an earlier version counted in another page. */
const tenant = Array.from({ length: 100 }, (_, n) => `acme-${n}`).find((name) => formerPageOf(name) !== undefined) ?? '';
const former = formerPageOf(tenant) ?? '';
const of = await grantOf({ tenant: tenantOf({}), identity: { tenant } });

/** What an earlier version has counted this month. */
function counted(tokens: number): MemoryPages {
  const store = new MemoryPages();
  store.documents.set(`${MONTH}/${former}`, {
    page: { fetched: { [tenant]: { [grant.api]: tokens } }, exchanged: { [tenant]: { [grant.api]: 50 } }, writes: [] },
    version: 1,
  });
  return store;
}

function ledgerOf(store: MemoryPages, cap: number): QuotaLedger {
  return new QuotaLedger({ store, now: () => NOON, patienceMs: 5_000, capOf: () => cap });
}

describe('what a version with 64 pages has counted', () => {
  test('counts against a cap, from the first token after the start on', async () => {
    const store = counted(4);
    const ledger = ledgerOf(store, 5);
    ledger.start();
    await ledger.count(of);
    await expect(ledger.count(of)).rejects.toThrow('has used up its tokens of this month (5)');
    expect(() => ledger.admit(of)).toThrow('(5)');
    expect(store.documents.get(`${MONTH}/${pageOf(tenant)}`)?.page.fetched).toEqual({ [tenant]: { [grant.api]: 1 } });
    expect(store.documents.get(`${MONTH}/${former}`)?.page.fetched).toEqual({ [tenant]: { [grant.api]: 4 } });
    await ledger.stop();
  });

  test('refuses nobody in another month', async () => {
    const store = counted(5);
    const ledger = new QuotaLedger({ store, now: () => Date.UTC(2026, 11, 1), patienceMs: 5_000, capOf: () => 5 });
    await ledger.look();
    await ledger.count(of);
    expect(store.count(tenant)).toBe(6);
  });

  test('is added up in the report and in what is watched', async () => {
    const store = counted(4);
    const ledger = ledgerOf(store, Infinity);
    await ledger.look();
    await ledger.count(of);
    ledger.exchanged(of);
    const { tenants, apis, application } = reportOf(MONTH, ledger.pages(), quotaTerms.parse({}), NOON);
    expect(tenants).toEqual([
      { tenant, fetched: 5, one_application_each: 50, apis: [{ api: grant.api, fetched: 5, one_application_each: 50 }] },
    ]);
    expect(apis).toEqual([{ api: grant.api, fetched: 5, one_application_each: 50 }]);
    expect(application.used).toBe(5);
    const told: QuotaNotice[] = [];
    const watch = new QuotaWatch({ budget: null, now: () => NOON, onNotice: (notice) => told.push(notice) });
    watch.cap(tenant, 5);
    watch.look(MONTH, ledger.pages());
    expect(told).toMatchObject([{ of: 'tenant', tenant, level: 'spent', used: 5, budget: 5 }]);
  });
});

describe('a page that Vault takes no more in', () => {
  const full = new VaultFault('too_large', 'Vault answered 500 to x: put failed due to value being too large', { status: 500 });

  test('is told, refuses nobody, and what is fetched stays counted in memory', async () => {
    const store = new MemoryPages();
    const errors: unknown[] = [];
    store.before = () => Promise.reject(full);
    const ledger = new QuotaLedger({ store, now: () => NOON, patienceMs: 5_000, onError: (error) => errors.push(error) });
    await ledger.count(of);
    await ledger.count(of);
    expect(errors).toEqual([full, full]);
    expect(ledger.unwritten).toBe(2);
    store.before = () => {};
    await ledger.flush();
    expect([ledger.unwritten, store.count(tenant)]).toEqual([0, 2]);
  });

  test('keeps the caps of other pages exact: they go on waiting for their own', async () => {
    const store = new MemoryPages();
    const other = Array.from({ length: 100 }, (_, n) => `globex-${n}`).find((name) => pageOf(name) !== pageOf(tenant)) ?? '';
    let writes = 0;
    store.before = async () => {
      if (writes++ === 0) throw full;
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const ledger = ledgerOf(store, 1);
    await ledger.count(of);
    await ledger.count(Object.assign({}, grant, { tenant: other }));
    expect(store.count(other)).toBe(1);
  });
});
