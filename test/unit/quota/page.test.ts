import { describe, expect, test } from 'vitest';
import { Batch, EMPTY, formerPageOf, pageOf, withBatches } from '#broker/quota/page.ts';
import { QUOTA_PAGE, quotaDocument } from '#broker/vault/quota-pages.ts';

/** Of a document in Vault's integrated storage, as it is by default, bytes. */
const ENTRY = 1_048_576;
/** More than any page had of 1,000,000: 3,906 in the mean and five times the spread of 62. `make scale` counts them. */
const TENANTS = 4_220;
/** As a month of tokens of a day and of exchanges each half minute counts them. */
const [FETCHED, EXCHANGED] = [38, 89_280];

/** The length of a page as it is written. @param apis of each tenant */
function bytesOf(apis: readonly string[]): number {
  const tenants = Array.from({ length: TENANTS }, (_, n) => `tenant-${String(n).padStart(6, '0')}`);
  const batches = Array.from({ length: 64 }, (_, n) => new Batch(`batch-${n}`.padEnd(8, '.')));
  for (const [n, tenant] of tenants.entries())
    for (const api of apis)
      batches[n % 64]?.changes.push({ of: 'fetched', tenant, api, by: FETCHED }, { of: 'exchanged', tenant, api, by: EXCHANGED });
  const page = withBatches(EMPTY, batches);
  expect(quotaDocument.parse(page).writes).toHaveLength(64);
  // As KV v2 takes and stores it, with the fields that go around it.
  return Buffer.byteLength(JSON.stringify({ data: page, options: { cas: 1_000_000 } }));
}

test('a million tenants have room in the ledger, three times over; with three APIs each there is a reserve, too', () => {
  expect(bytesOf(['orders'])).toBeLessThan(ENTRY / 3);
  expect(bytesOf(['orders', 'inventory', 'billing'])).toBeLessThan(ENTRY * 0.75);
});

describe('a page', () => {
  test('has a name that every version reads, and there are 256', () => {
    const names = new Set(Array.from({ length: 10_000 }, (_, n) => pageOf(`t${n}`)));
    expect(names.size).toBe(256);
    for (const name of names) expect(name).toMatch(QUOTA_PAGE);
  });

  test('is, for a quarter of the tenants, the one of earlier versions, which had 64', () => {
    const tenants = Array.from({ length: 10_000 }, (_, n) => `t${n}`);
    const same = tenants.filter((tenant) => formerPageOf(tenant) === undefined);
    expect(same.length).toBeGreaterThan(2_200);
    expect(same.length).toBeLessThan(2_800);
    for (const tenant of same) expect(Number.parseInt(pageOf(tenant), 16)).toBeLessThan(64);
    for (const tenant of tenants) {
      const former = formerPageOf(tenant);
      if (former !== undefined) expect(Number.parseInt(former, 16)).toBe(Number.parseInt(pageOf(tenant), 16) % 64);
    }
  });
});
