import { Endings } from '#broker/credential/endings.ts';
import type { Ending, EndingReader, RecentEndings } from '#broker/credential/endings.ts';
import { DEPARTURES_PATH, ENDINGS_PATH, ENDING_SHARDS, endingShardDocument, endingsDocument } from '#broker/vault/endings.ts';
import type { VaultAccess } from './access.ts';

/** What has ended, as brokers know it, read once with the operator's token: credentials, and people who left. */
export async function readEndings(access: VaultAccess): Promise<Endings> {
  const endings = new Endings({ reader: new OperatorEndings(access), earliest: () => access.earliest });
  await endings.look();
  return endings;
}

/** What one of the two documents and its archive say. One that is not valid tells nothing. */
export async function readEndingsAt(access: VaultAccess, path: string): Promise<Ending[]> {
  const reader = new OperatorEndings(access, [path]);
  const [{ recent }, archive] = [await reader.readRecent(), await reader.readArchive()];
  return [...archive, ...recent];
}

/** Both documents as one. One that is not valid tells nothing: `postern doctor` says so. */
class OperatorEndings implements EndingReader {
  readonly #access: VaultAccess;

  readonly #paths: readonly string[];

  constructor(access: VaultAccess, paths: readonly string[] = [ENDINGS_PATH, DEPARTURES_PATH]) {
    this.#access = access;
    this.#paths = paths;
  }

  async readRecent(): Promise<RecentEndings> {
    const both = await Promise.all(this.#paths.map((path) => this.#read(path)));
    const all = both.map((data) => endingsDocument.safeParse(data).data ?? { serial: 0, recent: [] });
    return { serial: all.reduce((sum, { serial }) => sum + serial, 0), recent: all.flatMap(({ recent }) => recent) };
  }

  async readArchive(): Promise<Ending[]> {
    const paths = this.#paths.flatMap((path) => ENDING_SHARDS.map((shard) => `${path}/${shard}`));
    const all = await Promise.all(paths.map((path) => this.#read(path)));
    return all.flatMap((data) => endingShardDocument.safeParse(data).data?.ended ?? []);
  }

  async #read(path: string): Promise<unknown> {
    return (await this.#access.call('read what has ended', ({ documents, as }) => documents.read(path, as))).data;
  }
}
