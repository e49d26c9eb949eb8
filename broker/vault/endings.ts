import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Ending, EndingReader, RecentEndings } from '#broker/credential/endings.ts';
import { NAME } from '#broker/credential/identity.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

export const ENDINGS_PATH = 'state/ended';
/** What brokers themselves may announce: people who left, and keys that their owners revoked. Nothing there makes anything good again. */
export const DEPARTURES_PATH = 'state/departures';
/** By the first digit of the SHA-256 of the id. */
export const ENDING_SHARDS = Array.from({ length: 16 }, (_, digit) => digit.toString(16));

const ending = z.object({
  kind: z.enum(['credential', 'unnamed', 'tokens', 'issued', 'owner']),
  id: z.string().min(1).max(128),
  tenant: z.string().regex(NAME),
  at: z.number(),
  until: z.number(),
});
/** Keys of people that a rotation ends, the latest last, and how many there ever were. */
const rotated = z.object({ serial: z.number().int().nonnegative(), keys: z.array(z.string().max(128)) });
/** `state/ended`, `state/departures`; `rotated` is the latter's. */
export const endingsDocument = z.object({ serial: z.number().int().nonnegative(), recent: z.array(ending), rotated: rotated.optional() });
/** `state/ended/<0…f>` */
export const endingShardDocument = z.object({ ended: z.array(ending) });

export function endingShardPath(id: string, path: string = ENDINGS_PATH): string {
  return `${path}/${createHash('sha256').update(id).digest('hex')[0]}`;
}

/** Reads `state/ended`, or what has the same form elsewhere, with the broker's own token. */
export class VaultEndings implements EndingReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;
  readonly #path: string;

  constructor(kv: Kv, session: VaultSession, path: string = ENDINGS_PATH) {
    this.#path = path;
    this.#kv = kv;
    this.#session = session;
  }

  async readRecent(): Promise<RecentEndings> {
    const data = await this.#read(this.#path);
    if (data === undefined) return { serial: 0, recent: [] };
    return endingsDocument.safeParse(data).data ?? invalid(this.#path);
  }

  async readArchive(): Promise<Ending[]> {
    const shards = ENDING_SHARDS.map(async (shard) => {
      const path = `${this.#path}/${shard}`;
      const data = await this.#read(path);
      return data === undefined ? [] : (endingShardDocument.safeParse(data).data?.ended ?? invalid(path));
    });
    return (await Promise.all(shards)).flat();
  }

  async #read(path: string): Promise<Record<string, unknown> | undefined> {
    try {
      // No second attempt: the next look is a second away.
      return (await this.#session.use((token) => this.#kv.read(path, { token, attempts: 1 }))).data;
    } catch (error) {
      if (error instanceof VaultFault && error.reason === 'denied')
        throw unavailable(`${error.message}: does the broker's policy know ${path}? Run terraform apply`, 5);
      throw asUnavailable(error);
    }
  }
}

function invalid(path: string): never {
  throw unavailable(`${path} in Vault is not valid, so it is not known what has ended: restore an older version of it`, 5);
}
