import { describe, expect, test } from 'vitest';
import { forecastOf, monthOf, secondsToEndOf } from '#broker/quota/month.ts';
import { reportOf, summaryOf } from '#broker/quota/report.ts';
import { capOf, quotaTerms } from '#broker/quota/terms.ts';
import type { QuotaReading } from '#broker/quota/terms.ts';
import { QuotaWatch } from '#broker/quota/watch.ts';
import type { QuotaNotice } from '#broker/quota/watch.ts';

const MID = Date.UTC(2026, 10, 16);
const page = (fetched: Record<string, Record<string, number>>, exchanged: Record<string, Record<string, number>> = {}) => ({
  fetched,
  exchanged,
  writes: [],
});
const reading = (more: Partial<QuotaReading> = {}): QuotaReading => ({
  period: 'per_day',
  quota: 1000,
  remaining: 100,
  resets_at: MID + 1000,
  read_at: MID,
  ...more,
});

describe('a month', () => {
  test('is UTC', () => {
    expect(monthOf(Date.UTC(2026, 11, 1) - 1)).toBe('2026-11');
    expect(monthOf(Date.UTC(2027, 0, 1))).toBe('2027-01');
    expect(secondsToEndOf('2026-12', Date.UTC(2026, 11, 31, 23, 59, 59))).toBe(1);
    expect(secondsToEndOf('2026-12', Date.UTC(2027, 0, 1, 0, 0, 1))).toBe(1);
    expect(secondsToEndOf('2028-02', Date.UTC(2028, 1, 1))).toBe(29 * 86_400);
  });

  test('has a forecast from its second day on; one that is over has what it had', () => {
    expect(forecastOf('2026-11', 150, MID)).toBe(300);
    expect(forecastOf('2026-11', 150, Date.UTC(2026, 10, 1, 5))).toBeUndefined();
    expect(forecastOf('2026-10', 150, MID)).toBe(150);
  });
});

describe('the report', () => {
  test('adds up pages, those with most first', () => {
    const report = reportOf(
      '2026-11',
      [page({ acme: { orders: 2, stock: 1 } }, { acme: { orders: 70 }, initech: { orders: 5 } }), page({ globex: { orders: 9 } })],
      quotaTerms.parse({}),
      MID,
    );
    expect(report.tenants.map(({ tenant, fetched, one_application_each }) => [tenant, fetched, one_application_each])).toEqual([
      ['globex', 9, 9],
      ['acme', 3, 71],
      ['initech', 0, 5],
    ]);
    expect(report.apis).toEqual([
      { api: 'orders', fetched: 11, one_application_each: 84 },
      { api: 'stock', fetched: 1, one_application_each: 1 },
    ]);
    expect(report.application).toEqual({
      used: 12,
      fetched: 12,
      one_application_each: 85,
      budget: null,
      left: null,
      forecast: 24,
      level: null,
    });
  });

  test('without tenants is the same, and looks at each page once alone', () => {
    let looked = 0;
    const page = {
      get fetched() {
        looked++;
        return { acme: { orders: 2, stock: 1 }, globex: { orders: 4 } };
      },
      exchanged: { acme: { orders: 70 }, constructor: { orders: 3 }, globex: { stock: 5 } },
      writes: [],
    };
    const terms = quotaTerms.parse({ budget: 10 });
    const { application, issuer, apis } = reportOf('2026-11', [page], terms, MID);
    expect(summaryOf('2026-11', [page], terms, MID)).toEqual({ application, issuer, apis });
    looked = 0;
    for (let n = 0; n < 3; n++) expect(summaryOf('2026-11', [page], terms, MID).application).toEqual(application);
    expect(looked).toBe(0);
  });

  test.each([
    [799, 'ok'],
    [800, 'warning'],
    [1000, 'spent'],
    [1200, 'spent'],
  ])('%i of 1,000 are %s', (used, level) => {
    const { application } = reportOf('2026-11', [page({ acme: { orders: used } })], quotaTerms.parse({ budget: 1000 }), MID);
    expect(application).toMatchObject({ level, left: Math.max(0, 1000 - used) });
  });

  test('Auth0 is believed over our count, until its window is over', () => {
    const terms = { budget: 1000, tenant: null, issuer: [reading()] };
    const pages = [page({ acme: { orders: 5 } })];
    expect(reportOf('2026-11', pages, terms, MID).application).toMatchObject({ fetched: 5, used: 900, left: 100, level: 'warning' });
    expect(reportOf('2026-11', pages, terms, MID + 1000).application).toMatchObject({ fetched: 5, used: 5, left: 995, level: 'ok' });
    const other = { budget: null, tenant: null, issuer: [reading({ remaining: 0 })] };
    expect(reportOf('2026-11', pages, other, MID).application).toMatchObject({ left: 0, level: 'spent' });
  });

  test.each(['constructor', 'toString', '__proto__'])('of a tenant and an API of the name %s', (name) => {
    const tally = JSON.parse(`{"${name}":{"${name}":3}}`) as Record<string, Record<string, number>>;
    expect(reportOf('2026-11', [page(tally)], quotaTerms.parse({}), MID).tenants).toMatchObject([{ tenant: name, fetched: 3 }]);
  });
});

test.each([
  [undefined, Infinity, null],
  [{ monthly: 0 }, 0, null],
  [{ monthly: 7 }, 7, null],
  [{ share: 0.1 }, 100, null],
  [undefined, 50, 50],
  [{ monthly: 70 }, 70, 50],
])('the cap of %j is %d', (quota, cap, tenant) => {
  expect(capOf(quota, { budget: 1000, tenant })).toBe(cap);
});

test('a share of nothing known is no cap', () => {
  expect(capOf({ share: 0.1 }, { budget: null, tenant: 5 })).toBe(Infinity);
});

describe('what people should know is told once', () => {
  const stage = (budget: number | null) => {
    const told: QuotaNotice[] = [];
    return { told, watch: new QuotaWatch({ budget, now: () => MID, onNotice: (notice) => told.push(notice) }) };
  };

  test('of the application: four fifths, all, and that it will not last', () => {
    const { told, watch } = stage(1000);
    for (const used of [100, 799, 800, 900, 1000, 1001]) watch.look('2026-11', [page({ acme: { orders: used } })]);
    expect(told.map(({ of, level, used }) => [of, level, used])).toEqual([
      ['application', 'forecast', 799],
      ['application', 'warning', 800],
      ['application', 'spent', 1000],
    ]);
    watch.look('2026-12', [page({ acme: { orders: 1000 } })]);
    expect(told.slice(3).map(({ month, level }) => [month, level])).toEqual([['2026-12', 'spent']]);
  });

  test('of a tenant with a cap, and of no other', () => {
    const { told, watch } = stage(null);
    watch.cap('acme', 10);
    watch.cap('globex', Infinity);
    watch.look('2026-11', [page({ acme: { orders: 5, stock: 3 }, globex: { orders: 5000 } })]);
    expect(told).toEqual([{ month: '2026-11', of: 'tenant', tenant: 'acme', level: 'warning', used: 8, budget: 10 }]);
    expect(watch.levels).toEqual({ warning: 1, spent: 0 });
  });

  test('of what Auth0 says, once a window', () => {
    const { told, watch } = stage(null);
    for (const remaining of [300, 200, 100, 0, 0]) watch.heard('2026-11', 'issuer', undefined, reading({ remaining }));
    expect(told.map(({ level, used }) => [level, used])).toEqual([
      ['warning', 800],
      ['spent', 1000],
    ]);
    watch.heard('2026-11', 'issuer', undefined, reading({ remaining: 0, resets_at: MID + 90_000_000 }));
    expect(told).toHaveLength(3);
  });
});

test('a share is what people reckon, in whole and tenths of a per cent', () => {
  for (const budget of [100, 1_000, 1_234, 5_000, 50_000, 10_000_000])
    for (let tenths = 1; tenths <= 1_000; tenths++)
      expect(capOf({ share: tenths / 10 / 100 }, { budget, tenant: null })).toBe(Math.floor((budget * tenths) / 1_000));
});
