import { Endings } from '#broker/credential/endings.ts';
import type { Ending, EndingReader, RecentEndings } from '#broker/credential/endings.ts';
import { DEPARTURES_PATH, ENDINGS_PATH, ENDING_SHARDS, endingShardDocument, endingsDocument } from '#broker/vault/endings.ts';
import type { VaultAccess } from './access.ts';

/** What has ended, as brokers know it, read once with the operator's token: credentials, and people who left. */
export async function readEndings(access: VaultAccess): Promise<Endings> {
  const endings = new Endings({ reader: new OperatorEndings(access) });
  await endings.look();
  return endings;
}

/** Both documents as one. One that is not valid tells nothing: `postern doctor` says so. */
class OperatorEndings implements EndingReader {
  readonly #access: VaultAccess;

  constructor(access: VaultAccess) {
    this.#access = access;
  }

  async readRecent(): Promise<RecentEndings> {
    const both = await Promise.all([ENDINGS_PATH, DEPARTURES_PATH].map((path) => this.#read(path)));
    const all = both.map((data) => endingsDocument.safeParse(data).data ?? { serial: 0, recent: [] });
    return { serial: all.reduce((sum, { serial }) => sum + serial, 0), recent: all.flatMap(({ recent }) => recent) };
  }

  async readArchive(): Promise<Ending[]> {
    const paths = [ENDINGS_PATH, DEPARTURES_PATH].flatMap((path) => ENDING_SHARDS.map((shard) => `${path}/${shard}`));
    const all = await Promise.all(paths.map((path) => this.#read(path)));
    return all.flatMap((data) => endingShardDocument.safeParse(data).data?.ended ?? []);
  }

  async #read(path: string): Promise<unknown> {
    return (await this.#access.call('read what has ended', ({ documents, as }) => documents.read(path, as))).data;
  }
}
