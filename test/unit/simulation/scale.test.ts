import { describe, expect, test } from 'vitest';
import { refreshAt } from '#broker/token/token.ts';
import { ledgerLoad } from '#test/simulation/scale/ledger.ts';
import { svg } from '#test/simulation/scale/plot.ts';
import { prices } from '#test/simulation/scale/prices.ts';
import { Queue } from '#test/simulation/scale/queue.ts';
import { BEFORE, expiry, herd, ordinary, vaultRate } from '#test/simulation/scale/scenario.ts';
import type { ScenarioOptions } from '#test/simulation/scale/scenario.ts';
import { seeded } from '#test/fixture/seeded.ts';

const SMALL: ScenarioOptions = { tenants: 2_000, sample: 10, replicas: 4, balance: 'tenant', lifetime: 7_200, days: 0.25, seed: 7 };

describe('prices', () => {
  test('are what the real classes ask of Vault', async () => {
    const { verification, keyVerification, fromStore, fetch, refresh, sourceCalls, look } = await prices();
    expect(verification).toMatchObject({ login: 1, 'tenant read': 1, 'token read': 0, 'token write': 0 });
    expect(keyVerification).toMatchObject({ login: 1, 'tenant read': 2 });
    expect(fromStore).toEqual({ login: 0, 'tenant read': 0, 'token read': 1, 'token write': 0, 'state read': 0 });
    expect(fetch).toEqual({ login: 0, 'tenant read': 0, 'token read': 1, 'token write': 2, 'state read': 0 });
    expect(refresh).toEqual(fetch);
    expect([sourceCalls, look['state read']]).toEqual([1, 5]);
  });
});

describe('ordinary life', () => {
  test('is the same for the same seed, and another for another', async () => {
    const [one, again, other] = [await ordinary(SMALL), await ordinary(SMALL), await ordinary({ ...SMALL, seed: 8 })];
    expect(again.rates).toEqual(one.rates);
    expect(other.rates).not.toEqual(one.rates);
  });

  test('asks Vault less where a tenant stays with one replica, and Auth0 as often', async () => {
    const [tenant, any] = [await ordinary(SMALL), await ordinary({ ...SMALL, balance: 'any' })];
    expect(vaultRate(tenant.rates)).toBeLessThan(vaultRate(any.rates));
    expect(tenant.rates.hits / tenant.rates.requests).toBeGreaterThan(any.rates.hits / any.rates.requests);
    expect(tenant.rates['source calls'] / any.rates['source calls']).toBeCloseTo(1, 0);
  });

  test('asks Auth0 about once a refresh, whatever the number of requests', async () => {
    const { rates } = await ordinary(SMALL);
    const lives = SMALL.tenants / (SMALL.lifetime * 0.8);
    expect(rates['source calls']).toBeGreaterThan(lives * 0.7);
    expect(rates['source calls']).toBeLessThan(lives * 1.3);
  });

  test('is kept in memory up to the bounds', async () => {
    const { held } = await ordinary({ ...SMALL, balance: 'any', settings: { tokens: 500, credentials: 300 } });
    expect(held).toEqual({ tokens: 500, credentials: 300 });
  });
});

test('a herd is where the event is, and is over', async () => {
  const { vault } = await herd(SMALL, 'restart');
  const mean = (from: number, to: number): number => vault.slice(from, to).reduce((sum, one) => sum + one, 0) / (to - from);
  const before = mean(0, BEFORE);
  expect(mean(BEFORE, BEFORE + 2)).toBeGreaterThan(2 * before);
  expect(mean(BEFORE + 200, BEFORE + 300)).toBeLessThan(mean(BEFORE, BEFORE + 2) / 1.5);
});

test('tokens that were issued together are fetched anew apart from each other, by the rule of tokens', async () => {
  const calls = await expiry({ ...SMALL, sample: 1 });
  const first = calls.findIndex((one) => one > 0);
  expect(first * 900).toBeGreaterThanOrEqual(refreshAt(0, SMALL.lifetime, 0) / 1000 - 900);
  expect([...calls].filter((one) => one > 0).length).toBeGreaterThan(1);
});

test('the ledger of a million tenants is looked at seldom, and its pages are short enough', () => {
  const small = ledgerLoad({ tenants: 1_000, replicas: 3, fetched: 0.01, usageInterval: 300 });
  const large = ledgerLoad({ tenants: 20_000, replicas: 100, fetched: 0.3, usageInterval: 300 });
  expect(small.looks).toBe(60);
  expect(large.page).toBeLessThan(1_048_576 / 50);
  expect(large.bytes).toBeGreaterThan(small.bytes);
});

test('what is due first comes first', () => {
  const random = seeded(3);
  const queue = new Queue(Float64Array.from({ length: 500 }, () => random() * 100));
  let last = -1;
  for (let n = 0; n < 2_000; n++) {
    expect(queue.due).toBeGreaterThanOrEqual(last);
    last = queue.due;
    queue.later(last + random() * 50);
  }
});

test('a plot is well-formed and has each series', () => {
  const text = svg([{ title: 'A week', unit: 'a second', ticks: [[0, 'day 0']], series: [{ name: 'Vault', values: [1, 2, 3] }] }]);
  expect(text).toContain('>Vault</text>');
  expect(text.match(/<g /g)?.length).toBe(text.match(/<\/g>/g)?.length);
  expect(text).not.toContain('NaN');
});
