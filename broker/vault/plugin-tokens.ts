import type { CallOptions, VaultClient } from './client.ts';
import type { KvDocument } from './kv.ts';
import type { TokenPlaces } from './tokens.ts';

/** `tokens/` of our own secrets plugin (docs/plugin-paths.md): seal-wrapped, and what has ended goes by itself. */
export class EngineTokenPlaces implements TokenPlaces {
  readonly #client: VaultClient;
  readonly #mount: string;

  constructor(client: VaultClient, mount: string) {
    this.#client = client;
    this.#mount = mount;
  }

  async read(path: string, options: CallOptions): Promise<KvDocument> {
    const answer = await this.#client.read(`${this.#mount}/tokens/${path}`, options);
    const { version, ...data } = answer?.data ?? {};
    return typeof version === 'number' ? { data, version } : { data: undefined, version: 0 };
  }

  async write(path: string, data: Record<string, unknown>, cas: number, options: CallOptions): Promise<number> {
    const answer = await this.#client.write(`${this.#mount}/tokens/${path}`, { ...data, cas }, options);
    const version = answer.data?.['version'];
    return typeof version === 'number' ? version : 0;
  }
}
