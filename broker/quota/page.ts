import { hash } from 'node:crypto';

/** Tokens by tenant and, of each, by API. */
export type Tally = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What one document of the ledger says: some tenants' tokens in one month. */
export interface QuotaPage {
  /** Tokens asked of the issuer. */
  readonly fetched: Tally;
  /** Exchanges that clients made for such tokens: with an application of their own each would have been a token fetched. */
  readonly exchanged: Tally;
  /** Ids of what was added last, the newest last: whoever lost the answer to a write sees whether it counts. */
  readonly writes: readonly string[];
}

export type Count = 'fetched' | 'exchanged';

/** The port to where pages are kept for good; replicas write beside each other. */
export interface QuotaStore {
  /** @throws {VaultFault} */
  read(month: string, page: string): Promise<{ readonly page: QuotaPage; readonly version: number }>;
  /** @returns the version written; undefined where somebody else was faster @throws {VaultFault} */
  write(month: string, page: string, content: QuotaPage, version: number): Promise<number | undefined>;
  /** Those that were ever written. @throws {VaultFault} */
  pages(month: string): Promise<readonly string[]>;
}

export const EMPTY: QuotaPage = Object.freeze({ fetched: {}, exchanged: {}, writes: [] });

/**
 * Pages a month: with 1,000,000 tenants of one API each has some 300 kB, below Vault's 1 MiB for an entry, and is rewritten whole. Two
 * hexadecimal digits, since earlier versions read every page of such a name, whoever wrote it.
 */
const PAGES = 256;
/** Pages that versions before this number counted in: what they wrote goes on to count. */
const FORMER_PAGES = 64;
/** Ids kept of a page. Between a lost answer and the next look are seconds, and a page has fewer writes in them. */
const WRITES = 64;

/** Where a tenant's tokens are counted: `00` to `ff`. */
export function pageOf(tenant: string): string {
  return nameOf(byteOf(tenant) % PAGES);
}

/** Where earlier versions counted a tenant's tokens; undefined where that is the same page. */
export function formerPageOf(tenant: string): string | undefined {
  const byte = byteOf(tenant);
  return byte % FORMER_PAGES === byte % PAGES ? undefined : nameOf(byte % FORMER_PAGES);
}

function byteOf(tenant: string): number {
  return Number.parseInt(hash('sha256', tenant).slice(0, 2), 16);
}

function nameOf(page: number): string {
  return page.toString(16).padStart(2, '0');
}

/** Of all the tenant's APIs. */
export function tokensOf(tally: Tally, tenant: string): number {
  const apis = Object.hasOwn(tally, tenant) ? tally[tenant] : undefined;
  return apis === undefined ? 0 : Object.values(apis).reduce((sum, count) => sum + count, 0);
}

export interface Change {
  readonly of: Count;
  readonly tenant: string;
  readonly api: string;
  /** Below zero: so many are taken back. */
  readonly by: number;
}

/** Changes that are written together, or not at all. */
export class Batch {
  readonly id: string;
  readonly changes: Change[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** How many tokens it counts, those taken back taken away. */
  get fetched(): number {
    return this.changes.reduce((sum, { of, by }) => (of === 'fetched' ? sum + by : sum), 0);
  }
}

/** The page with the batches that it doesn't have yet. */
export function withBatches(page: QuotaPage, batches: readonly Batch[]): QuotaPage {
  const fresh = batches.filter(({ id, changes }) => changes.length > 0 && !page.writes.includes(id));
  const tallies = { fetched: copyOf(page.fetched), exchanged: copyOf(page.exchanged) };
  for (const { of, tenant, api, by } of fresh.flatMap(({ changes }) => changes)) {
    const apis = (tallies[of][tenant] ??= Object.create(null) as Record<string, number>);
    apis[api] = Math.max(0, (apis[api] ?? 0) + by);
  }
  return { ...tallies, writes: [...page.writes, ...fresh.map(({ id }) => id)].slice(-WRITES) };
}

/** Without a prototype: names are tenants'. */
function copyOf(tally: Tally): Record<string, Record<string, number>> {
  const copy = Object.create(null) as Record<string, Record<string, number>>;
  for (const [tenant, apis] of Object.entries(tally)) copy[tenant] = Object.assign(Object.create(null) as Record<string, number>, apis);
  return copy;
}
