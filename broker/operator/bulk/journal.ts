import { readFile, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { DurableFile } from './durable-file.ts';

/** A line that names the Vault, one before each credential is issued, and one when it lies in the file of what was issued. */
const line = z.union([
  z.strictObject({ import: z.literal(1), vault: z.string() }),
  z.strictObject({ intended: z.string(), id: z.string() }),
  z.strictObject({ done: z.string(), id: z.string() }),
]);

/** What an import has issued, so that a run after a break issues nothing twice. Holds no secret. */
export class Journal {
  /** Tenants whose credential is in its owner's file. */
  readonly done: ReadonlySet<string>;
  /** Those that may have one that nobody has seen: its id, by tenant. */
  readonly open: ReadonlyMap<string, string>;
  readonly #file: DurableFile;
  readonly #lock: Lock;

  private constructor(file: DurableFile, lock: Lock, lines: readonly z.infer<typeof line>[]) {
    this.#file = file;
    this.#lock = lock;
    this.done = new Set(lines.flatMap((one) => ('done' in one ? one.done : [])));
    this.open = new Map(
      lines.flatMap((one) => ('intended' in one && !this.done.has(one.intended) ? [[one.intended, one.id] as const] : [])),
    );
  }

  /** @param vault its address @throws {PosternError} conflict where it is another Vault's or in use; invalid_request */
  static async open(path: string, vault: string): Promise<Journal> {
    const lock = await takeLock(`${path}.lock`);
    let file: DurableFile | undefined;
    try {
      file = await DurableFile.open(path);
      const lines = file.lines.map((one, at) => {
        const parsed = line.safeParse(one);
        if (!parsed.success)
          throw new PosternError('invalid_request', `Line ${at + 1} of ${path} is none of an import's journal`, {
            detail: 'Name another file.',
          });
        return parsed.data;
      });
      const head = lines[0];
      if (head === undefined) await file.append({ import: 1, vault });
      else if (!('import' in head) || head.vault !== vault)
        throw new PosternError('conflict', `${path} is the journal of an import into another Vault`, {
          detail: 'Name another one with --journal, or the Vault that it was for.',
        });
      return new Journal(file, lock, lines);
    } catch (error) {
      await file?.close();
      await lock.release();
      throw error;
    }
  }

  intend(tenant: string, id: string): Promise<void> {
    return this.#file.append({ intended: tenant, id });
  }

  finish(tenant: string, id: string): Promise<void> {
    return this.#file.append({ done: tenant, id });
  }

  async close(): Promise<void> {
    await this.#file.close();
    await this.#lock.release();
  }
}

export interface Lock {
  release(): Promise<void>;
}

/** One that a killed process left is taken over. @throws {PosternError} conflict where another process has it */
export async function takeLock(lock: string): Promise<Lock> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeFile(lock, String(process.pid), { flag: 'wx', mode: 0o600 });
      return { release: () => rm(lock, { force: true }) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') throw new PosternError('invalid_request', `${lock} can't be written (${code})`);
    }
    const pid = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (attempt > 0 || (pid > 0 && runs(pid)))
      throw new PosternError('conflict', `Another run uses this journal (process ${pid})`, {
        detail: `Wait for it. If there is none, remove ${lock}.`,
      });
    await rm(lock, { force: true });
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
