import { z } from 'zod';
import { NO_EPOCH } from '#broker/credential/announcements.ts';
import type { Epoch, EpochReader } from '#broker/credential/announcements.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';

export const EPOCH_PATH = 'state/epoch';

export const epochDocument = z.object({
  epoch: z.number().int().nonnegative(),
  disabled: z.array(z.string()).default([]),
  recent: z.array(z.object({ epoch: z.number().int(), tenant: z.string() })).default([]),
});

/** Reads `state/epoch` with the broker's own token. */
export class VaultEpoch implements EpochReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  /** @throws {VaultFault} */
  async readEpoch(): Promise<Epoch> {
    // No second attempt: the next look is a second away.
    const { data } = await this.#session.use((token) => this.#kv.read(EPOCH_PATH, { token, attempts: 1 }));
    if (data === undefined) return NO_EPOCH;
    const parsed = epochDocument.safeParse(data);
    if (!parsed.success) throw new VaultFault('invalid', `${EPOCH_PATH} in Vault is not valid`);
    return parsed.data;
  }
}
