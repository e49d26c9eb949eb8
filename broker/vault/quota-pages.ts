import { z } from 'zod';
import type { QuotaPage, QuotaStore } from '#broker/quota/page.ts';
import { NAME } from '#broker/credential/identity.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { quotaTerms } from '#broker/quota/terms.ts';
import type { QuotaTerms } from '#broker/quota/terms.ts';
import { lostRace } from '#broker/vault-fault.ts';
import type { CallOptions } from './client.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';

const name = z.string().regex(NAME);
const tally = z.record(name, z.record(name, z.number().int().nonnegative()));

/** `state/quota/<month>/<00..ff>`: tokens by tenant and API. */
export const quotaDocument = z.object({
  fetched: tally.default({}),
  exchanged: tally.default({}),
  writes: z.array(z.string().max(32)).default([]),
});

export const QUOTA_PAGE = /^[0-9a-f]{2}$/;

/** Beside the pages: what brokers go by in this month, and what Auth0 itself said. */
export const TERMS = 'terms';

export const quotaPath = (month: string, page: string): string => `state/quota/${month}/${page}`;
export const quotaFolder = (month: string): string => `state/quota/${month}`;

/** The ledger's pages in KV v2, with the broker's own token; replicas write beside each other by check-and-set. */
export class VaultQuotaPages implements QuotaStore {
  readonly #kv: Kv;
  readonly #session: Pick<VaultSession, 'use'>;

  /** @param session whose token is used: the broker's own, or an operator's */
  constructor(kv: Kv, session: Pick<VaultSession, 'use'>) {
    this.#kv = kv;
    this.#session = session;
  }

  async read(month: string, page: string): Promise<{ page: QuotaPage; version: number }> {
    const { data, version } = await this.#as((as) => this.#kv.read(quotaPath(month, page), as));
    const parsed = quotaDocument.safeParse(data ?? {});
    // Written anew it would have forgotten tokens: somebody mends it, and meanwhile memory counts.
    if (!parsed.success)
      throw new PosternError('misconfigured', `${quotaPath(month, page)} in Vault is not valid`, {
        detail: `${documentFault(parsed.error)}; an older version of it may be (\`vault kv rollback\`)`,
      });
    return { page: parsed.data, version };
  }

  async write(month: string, page: string, content: QuotaPage, version: number): Promise<number | undefined> {
    try {
      return await this.#as((as) => this.#kv.write(quotaPath(month, page), { ...content }, version, as));
    } catch (error) {
      if (lostRace(error)) return undefined;
      throw error;
    }
  }

  async pages(month: string): Promise<readonly string[]> {
    // 257 names at most, and the next look is not far.
    const names = await this.#as((as) => this.#kv.list(quotaFolder(month), { ...as, attempts: 1, quick: true }));
    return names.filter((found) => QUOTA_PAGE.test(found));
  }

  /** What brokers go by; where nothing valid is written, nothing. @throws {VaultFault} */
  async readTerms(month: string): Promise<QuotaTerms> {
    const { data } = await this.#as((as) => this.#kv.read(quotaPath(month, TERMS), as));
    return quotaTerms.safeParse(data).data ?? quotaTerms.parse({});
  }

  /** Whoever knows later writes over it: it is told again within a minute. @throws {VaultFault} */
  async writeTerms(month: string, terms: QuotaTerms): Promise<void> {
    await this.#as((as) => this.#kv.write(quotaPath(month, TERMS), { ...terms }, undefined, as));
  }

  #as<T>(work: (as: CallOptions) => Promise<T>): Promise<T> {
    return this.#session.use((token) => work({ token }));
  }
}
