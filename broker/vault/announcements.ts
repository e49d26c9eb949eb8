import { z } from 'zod';
import { NO_ANNOUNCEMENTS } from '#broker/credential/announcements.ts';
import type { Announcements, AnnouncementReader } from '#broker/credential/announcements.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';

export const ANNOUNCEMENTS_PATH = 'state/epoch';

export const announcementsDocument = z.object({
  epoch: z.number().int().nonnegative(),
  disabled: z.array(z.string()).default([]),
  recent: z
    .array(
      z.object({
        epoch: z.number().int(),
        tenant: z.string(),
        // What a later version adds must not keep this one from reading the rest.
        change: z.enum(['changed', 'disable', 'enable', 'replayed']).optional().catch(undefined),
        at: z.number().optional(),
      }),
    )
    .default([]),
});

/** Reads `state/epoch` with the broker's own token. */
export class VaultAnnouncements implements AnnouncementReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  /** @throws {VaultFault} */
  async readAnnouncements(): Promise<Announcements> {
    // No second attempt: the next look is a second away.
    const { data } = await this.#session.use((token) => this.#kv.read(ANNOUNCEMENTS_PATH, { token, attempts: 1 }));
    if (data === undefined) return NO_ANNOUNCEMENTS;
    const parsed = announcementsDocument.safeParse(data);
    if (!parsed.success) throw new VaultFault('invalid', `${ANNOUNCEMENTS_PATH} in Vault is not valid`);
    return parsed.data;
  }
}
