import type { z } from 'zod';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import type { Storage } from '#broker/plugin/backend.ts';
import { PosternError } from '#broker/error.ts';

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** What was read at a key, and is no document of this version. It is there all the same: whoever writes it whole replaces it. */
export class Invalid extends PosternError {
  /** @param place in the document */
  constructor(key: string, place: string) {
    super('misconfigured', `What is stored at ${key} is not valid`, {
      detail: `${key}: ${place}: written by another version? Write it whole, or delete it`,
    });
  }
}

/** JSON documents in the engine's part of Vault's storage. Each is written whole, so none is ever half there. */
export class Records {
  readonly #storage: Storage;
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * @returns undefined where there is nothing
   * @throws {Invalid}; {BackendError} 503 where the storage is away
   */
  async read<Schema extends z.ZodType>(key: string, schema: Schema): Promise<z.infer<Schema> | undefined> {
    const found = await this.look(key, schema);
    if (found instanceof Invalid) throw found;
    return found;
  }

  /**
   * The same for whoever can go on without what is not valid.
   * @throws {BackendError} 503: what can't be read now may be valid
   */
  async look<Schema extends z.ZodType>(key: string, schema: Schema): Promise<z.infer<Schema> | Invalid | undefined> {
    const bytes = await this.#storage.get(key).catch(away);
    if (bytes === undefined) return undefined;
    const parsed = schema.safeParse(jsonOf(bytes));
    // The issue names the place in the document; zod's own text could quote what is there.
    return parsed.success ? parsed.data : new Invalid(key, parsed.error.issues[0]?.path.join('.') || 'no JSON object');
  }

  /** @throws {ReadOnly} for Vault to forward the request; {BackendError} 503 */
  async write(key: string, document: unknown, sealWrap = false): Promise<void> {
    await this.#storage.put(key, encoder.encode(JSON.stringify(document)), sealWrap).catch(away);
  }

  /** @throws {ReadOnly}, {BackendError} 503 */
  async delete(key: string): Promise<void> {
    await this.#storage.delete(key).catch(away);
  }

  /**
   * One after the other for each key: what reads and then writes, so that of two changes none is lost. Vault's storage can't
   * do it; but only one node of a cluster writes, and in it only this process. Work in a turn must not ask for the same again.
   */
  async alone<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(work);
    const settled = turn.catch(() => {});
    this.#turns.set(key, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    }
  }

  /** Names directly below a prefix, a deeper level's without its slash; each once. @throws {BackendError} 503 */
  async list(prefix: string): Promise<readonly string[]> {
    const names = await this.#storage.list(prefix).catch(away);
    return [...new Set(names.map((name) => name.replace(/\/$/, '')))].sort();
  }
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

/** Nothing of the error is told on: what a storage back end says of itself is for Vault's own log. */
function away(error: unknown): never {
  if (error instanceof ReadOnly) throw error;
  throw new BackendError(503, "Vault's storage did not answer; nothing was changed that was not said to be. Try again");
}
