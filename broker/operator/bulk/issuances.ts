import { z } from 'zod';
import { DurableFile } from './durable-file.ts';
import { takeLock } from './lock.ts';
import type { Lock } from './lock.ts';

/** A journal's lines about credentials: one before each is issued, and one when it lies in the file of what was issued. */
export const issuanceLines = [
  z.strictObject({ intended: z.string(), id: z.string() }),
  z.strictObject({ done: z.string(), id: z.string() }),
] as const;

type Intended = z.infer<(typeof issuanceLines)[0]>;
type Done = z.infer<(typeof issuanceLines)[1]>;
const isIntended = (one: object): one is Intended => 'intended' in one;
const isDone = (one: object): one is Done => 'done' in one;

/** A journal of what was issued, so that a run after a break issues nothing twice. Holds no secret. */
export class Issuances {
  /** Tenants whose credential is in its owner's file. */
  readonly done: ReadonlySet<string>;
  /** Those that may have one that nobody has seen: its id, by tenant. */
  readonly open: ReadonlyMap<string, string>;
  readonly #file: DurableFile;
  readonly #lock: Lock;

  /** @param lines of the journal, each held against its form before */
  protected constructor(file: DurableFile, lock: Lock, lines: readonly object[]) {
    this.#file = file;
    this.#lock = lock;
    this.done = new Set(lines.filter(isDone).map(({ done }) => done));
    const open = lines.filter(isIntended).filter(({ intended }) => !this.done.has(intended));
    this.open = new Map(open.map(({ intended, id }) => [intended, id]));
  }

  intend(tenant: string, id: string): Promise<void> {
    return this.append({ intended: tenant, id });
  }

  finish(tenant: string, id: string): Promise<void> {
    return this.append({ done: tenant, id });
  }

  async close(): Promise<void> {
    await this.#file.close();
    await this.#lock.release();
  }

  /** On the disk when it resolves. */
  protected append(one: object): Promise<void> {
    return this.#file.append(one);
  }
}

/**
 * Opens a journal for one run alone; what `read` throws leaves it closed.
 * @throws {PosternError} conflict where it is in use; and as `read` does
 */
export async function openLocked<T>(path: string, read: (file: DurableFile, lock: Lock) => Promise<T>): Promise<T> {
  const lock = await takeLock(`${path}.lock`);
  let file: DurableFile | undefined;
  try {
    file = await DurableFile.open(path);
    return await read(file, lock);
  } catch (error) {
    await file?.close();
    await lock.release();
    throw error;
  }
}
