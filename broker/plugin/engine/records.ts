import type { z } from 'zod';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import type { Storage } from '#broker/plugin/backend.ts';
import { PosternError } from '#broker/error.ts';

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** JSON documents in the engine's part of Vault's storage. Each is written whole, so none is ever half there. */
export class Records {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * @returns undefined where there is nothing
   * @throws {PosternError} misconfigured where something else lies there; {BackendError} 503 where the storage is away
   */
  async read<Schema extends z.ZodType>(key: string, schema: Schema): Promise<z.infer<Schema> | undefined> {
    const bytes = await this.#storage.get(key).catch(away);
    if (bytes === undefined) return undefined;
    const parsed = schema.safeParse(jsonOf(bytes));
    if (parsed.success) return parsed.data;
    // The issue names the place in the document; zod's own text could quote what is there.
    throw new PosternError('misconfigured', `What is stored at ${key} is not valid`, { detail: `${key}: ${parsed.error.issues[0]?.path.join('.')}: written by another version? Write it again` });
  }

  /** @throws {ReadOnly} for Vault to forward the request; {BackendError} 503 */
  async write(key: string, document: unknown, sealWrap = false): Promise<void> {
    await this.#storage.put(key, encoder.encode(JSON.stringify(document)), sealWrap).catch(away);
  }

  /** @throws {ReadOnly}, {BackendError} 503 */
  async delete(key: string): Promise<void> {
    await this.#storage.delete(key).catch(away);
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
