import { VaultFault } from '#broker/vault-fault.ts';
import type { CallOptions, VaultAnswer, VaultClient } from './client.ts';

/** One secret of a KV v2 mount. `data` is undefined where the newest version is deleted or none was written. */
export interface KvDocument {
  data: Record<string, unknown> | undefined;
  /** What a check-and-set write must name; 0 where nothing was ever written, {@link HALF_DELETED} where nobody can say. */
  version: number;
}

/**
 * The version of a document whose deletion was broken off, and of one that is being deleted right now: Vault has its number and doesn't
 * tell it. A write that names it is none with check-and-set.
 */
export const HALF_DELETED = -1;

/**
 * The one field of a document that is written as JSON text. OpenBao takes some 1,000 strings in a request, names of fields included (its
 * listener's `max_request_json_strings`), and a long list of ended credentials has more; Vault takes lists and objects of 10,000.
 */
const PACKED = 'json';

/** KV v2 (Vault "KV secrets engine, version 2", HTTP API) on one mount. */
export class Kv {
  readonly #client: VaultClient;
  readonly mount: string;

  constructor(client: VaultClient, mount: string) {
    this.#client = client;
    this.mount = mount;
  }

  /** @throws {VaultFault} */
  async read(path: string, options: CallOptions): Promise<KvDocument> {
    const answer = await this.#client.read(`${this.mount}/data/${path}`, options).catch((error: unknown): VaultAnswer => {
      if (error instanceof VaultFault && error.isOfHalfDeleted) return { data: { metadata: { version: HALF_DELETED } } };
      throw error;
    });
    const data = answer?.data?.['data'];
    return {
      data: typeof data === 'object' && data !== null ? unpacked(data as Record<string, unknown>) : undefined,
      version: versionOf(answer?.data?.['metadata']),
    };
  }

  /**
   * A document of more parts than Vault or OpenBao takes is written as text, which {@link read} undoes.
   * @param cas the version that must be the newest one now; undefined writes whatever is there.
   * @returns the version written.
   * @throws {VaultFault} `conflict` when somebody else was faster.
   */
  async write(path: string, data: Record<string, unknown>, cas: number | undefined, options: CallOptions): Promise<number> {
    const given = cas === undefined || cas === HALF_DELETED ? {} : { options: { cas } };
    const put = (document: Record<string, unknown>): Promise<VaultAnswer> =>
      this.#client.write(`${this.mount}/data/${path}`, { data: document, ...given }, options);
    const answer = await put(data).catch((error: unknown) => {
      if (error instanceof VaultFault && error.isOfTooManyParts) return put({ [PACKED]: JSON.stringify(data) });
      throw error;
    });
    return versionOf(answer.data);
  }

  /** Names below `path`; a name with a trailing slash is a folder. @throws {VaultFault} */
  list(path: string, options: CallOptions): Promise<string[]> {
    return this.#client.list(path === '' ? `${this.mount}/metadata` : `${this.mount}/metadata/${path}`, options);
  }

  /** Removes every version and the metadata. @throws {VaultFault} */
  remove(path: string, options: CallOptions): Promise<void> {
    return this.#client.delete(`${this.mount}/metadata/${path}`, options);
  }
}

/** What {@link Kv.write} has packed; anything else as it is. */
function unpacked(data: Record<string, unknown>): Record<string, unknown> {
  const text = data[PACKED];
  if (typeof text !== 'string' || Object.keys(data).length !== 1) return data;
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : data;
  } catch {
    return data;
  }
}

function versionOf(metadata: unknown): number {
  const version = (metadata as { version?: unknown } | null | undefined)?.version;
  return typeof version === 'number' ? version : 0;
}
