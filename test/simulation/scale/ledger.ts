import { FLUSH_MS, restBetweenExchanges, restBetweenLooks } from '#broker/quota/ledger.ts';
import { Batch, EMPTY, pageOf, withBatches } from '#broker/quota/page.ts';

/** What all replicas together ask of Vault for the ledger of tokens, a second. */
export interface LedgerLoad {
  readonly reads: number;
  readonly writes: number;
  /** Bytes of pages read and written, conflicts too. */
  readonly bytes: number;
  /** Of the fullest page. */
  readonly page: number;
  /** Between two looks of a replica, s. */
  readonly looks: number;
}

export interface LedgerOptions {
  readonly tenants: number;
  readonly replicas: number;
  /** Tokens a second, of all replicas. */
  readonly fetched: number;
  /** Between two writings of exchanges, s. */
  readonly usageInterval: number;
}

/** By the product's pages, its encoding, its rules of when it writes, and chance: who wrote last knows a page's version, others don't. */
export function ledgerLoad({ tenants, replicas, fetched, usageInterval }: LedgerOptions): LedgerLoad {
  const sizes = pageSizes(tenants);
  const fullest = Math.max(...sizes.values());
  const looks = restBetweenLooks(tenants * 2) / 1000;
  // A replica writes the exchanges of all pages that changed, once in the interval, each within FLUSH_MS.
  const interval = restBetweenExchanges(tenants * 2, Math.max(usageInterval * 1000, FLUSH_MS)) / 1000;
  const exchanged = (replicas * sizes.size) / interval;
  const each = (fetched + exchanged) / sizes.size;
  // A page that somebody else wrote since it was last read or written here is refused, read and written again.
  const age = Math.min(looks, interval);
  const others = replicas === 1 ? 0 : each * (1 - 1 / replicas);
  const stale = others === 0 ? 0 : 1 - (1 - Math.exp(-others * age)) / (others * age);
  const writes = (fetched + exchanged) * (1 + stale);
  const reads = (fetched + exchanged) * stale + (replicas * (sizes.size + 1)) / looks;
  const mean = pageBytes(tenants / sizes.size);
  return { reads, writes, bytes: (reads + writes) * mean, page: pageBytes(fullest), looks };
}

const known = new Map<number, ReadonlyMap<string, number>>();

/** Tenants of each page. */
function pageSizes(tenants: number): ReadonlyMap<string, number> {
  const found = known.get(tenants);
  if (found !== undefined) return found;
  const sizes = new Map<string, number>();
  for (let n = 0; n < tenants; n++) {
    const page = pageOf(nameOf(n));
    sizes.set(page, (sizes.get(page) ?? 0) + 1);
  }
  known.set(tenants, sizes);
  return sizes;
}

/** As it is written, in the middle of a month. */
function pageBytes(tenants: number): number {
  const some = Math.min(200, Math.max(1, Math.round(tenants)));
  const batch = new Batch('a-batch-');
  for (let n = 0; n < some; n++)
    batch.changes.push(
      { of: 'fetched', tenant: nameOf(n), api: 'orders', by: 19 },
      { of: 'exchanged', tenant: nameOf(n), api: 'orders', by: 4_000 },
    );
  return (Buffer.byteLength(JSON.stringify(withBatches(EMPTY, [batch]))) / some) * tenants + 64 * 11;
}

const nameOf = (n: number): string => `tenant-${String(n).padStart(6, '0')}`;
