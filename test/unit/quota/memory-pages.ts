import { VaultFault } from '#broker/vault-fault.ts';
import { EMPTY } from '#broker/quota/page.ts';
import type { QuotaPage, QuotaStore } from '#broker/quota/page.ts';

/** What a write does when it is next asked for one. */
export type Trouble =
  /** No answer, and nothing is written. */
  | 'away'
  /** No answer, and it is written. */
  | 'silent'
  /** Vault refuses. */
  | 'denied';

/** Pages in memory, with versions as KV v2 has them. */
export class MemoryPages implements QuotaStore {
  readonly documents = new Map<string, { page: QuotaPage; version: number }>();
  /** Of the next writes, the first first. */
  troubles: Trouble[] = [];
  /** Until it is set back nothing answers. */
  away = false;
  writes = 0;
  /** Done before each write. */
  before: () => void | Promise<void> = () => {};

  async read(month: string, page: string): Promise<{ page: QuotaPage; version: number }> {
    if (this.away) throw fault('unreachable');
    return this.documents.get(`${month}/${page}`) ?? { page: EMPTY, version: 0 };
  }

  async write(month: string, page: string, content: QuotaPage, version: number): Promise<number | undefined> {
    await this.before();
    if (this.away) throw fault('unreachable');
    const trouble = this.troubles.shift();
    if (trouble === 'away') throw fault('timeout');
    if (trouble === 'denied') throw fault('denied');
    const key = `${month}/${page}`;
    if ((this.documents.get(key)?.version ?? 0) !== version) return undefined;
    this.writes++;
    this.documents.set(key, { page: structuredClone({ ...content }), version: version + 1 });
    if (trouble === 'silent') throw fault('timeout');
    return version + 1;
  }

  async pages(month: string): Promise<readonly string[]> {
    if (this.away) throw fault('unreachable');
    return [...this.documents.keys()].filter((key) => key.startsWith(`${month}/`)).map((key) => key.slice(month.length + 1));
  }

  /** By tenant, over all APIs and months. */
  count(tenant: string, of: 'fetched' | 'exchanged' = 'fetched'): number {
    return [...this.documents.values()].reduce(
      (sum, { page }) => sum + Object.values(page[of][tenant] ?? {}).reduce((all, one) => all + one, 0),
      0,
    );
  }
}

function fault(reason: 'unreachable' | 'timeout' | 'denied'): VaultFault {
  return new VaultFault(reason, 'for a test', reason === 'denied' ? { status: 403 } : {});
}
