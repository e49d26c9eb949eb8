import type { CallOptions, VaultClient } from './client.ts';

/** One secret of a KV v2 mount. `data` is undefined where the newest version is deleted or none was written. */
export interface KvDocument {
  data: Record<string, unknown> | undefined;
  /** What a check-and-set write must name; 0 where nothing was ever written. */
  version: number;
}

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
    const answer = await this.#client.read(`${this.mount}/data/${path}`, options);
    const data = answer?.data?.['data'];
    return {
      data: typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : undefined,
      version: versionOf(answer?.data?.['metadata']),
    };
  }

  /**
   * @param cas the version that must be the newest one now; undefined writes whatever is there.
   * @returns the version written.
   * @throws {VaultFault} `conflict` when somebody else was faster.
   */
  async write(path: string, data: Record<string, unknown>, cas: number | undefined, options: CallOptions): Promise<number> {
    const answer = await this.#client.write(
      `${this.mount}/data/${path}`,
      { data, ...(cas === undefined ? {} : { options: { cas } }) },
      options,
    );
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

function versionOf(metadata: unknown): number {
  const version = (metadata as { version?: unknown } | null | undefined)?.version;
  return typeof version === 'number' ? version : 0;
}
