import { z } from 'zod';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Catalog, CatalogReader } from '#broker/credential/catalog-watch.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

export const CATALOG_PATH = 'state/catalog';

/** Written by Terraform after everything else that it changes in Vault. */
export const catalogDocument = z.object({ digest: z.string(), disabled: z.array(z.string()).default([]) });

/** Reads `state/catalog` with the broker's own token. */
export class VaultCatalog implements CatalogReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  async readCatalog(): Promise<Catalog | undefined> {
    const { data } = await this.#session
      .use((token) => this.#kv.read(CATALOG_PATH, { token, attempts: 1 }))
      .catch((error: unknown) => {
        if (error instanceof VaultFault && error.reason === 'denied')
          throw unavailable(`${error.message}: does the broker's policy know ${CATALOG_PATH}? Run terraform apply`, 5);
        throw asUnavailable(error);
      });
    if (data === undefined) return undefined;
    const parsed = catalogDocument.safeParse(data);
    if (!parsed.success) throw unavailable(`${CATALOG_PATH} in Vault is not valid: run terraform apply`, 5);
    return parsed.data;
  }
}
