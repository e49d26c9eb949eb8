import type { Ending } from '#broker/credential/endings.ts';
import type { VaultToken } from '#broker/credential/identity.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import type { StoredSecretId } from './secret/stored.ts';
import { DEFAULT_MOUNTS } from '#broker/mounts.ts';
import type { Mounts } from '#broker/mounts.ts';
import { explain } from './refusal.ts';

export interface AccessOptions {
  client: VaultClient;
  /** The operator's own token: what they may not do, Vault refuses. */
  token: VaultToken;
  mounts?: Partial<Mounts>;
  /** Tells brokers what this caller ended, where the caller may not write that for everybody. */
  announcer?: Announcer | undefined;
  /** What is known of secret_ids, so that a list looks up new ones alone. */
  secretIds?: SecretIdMemory | undefined;
}

/** By tenant and accessor: whatever a secret_id's accessor shows stays as it is until it goes. */
export interface SecretIdMemory {
  get(name: string): StoredSecretId | undefined;
  set(name: string, one: StoredSecretId): unknown;
}

/** What announces for a caller whom Vault lets end only what is its own. */
export interface Announcer {
  ended(endings: readonly Pick<Ending, 'kind' | 'id' | 'tenant'>[]): Promise<void>;
}

/** An operator's way into Vault: their token, and errors that say what to do. */
export class VaultAccess {
  readonly mounts: Mounts;
  readonly announcer: Announcer | undefined;
  readonly secretIds: SecretIdMemory | undefined;
  readonly #client: VaultClient;
  readonly #token: VaultToken;
  readonly #documents: Kv;
  readonly #tokens: Kv;

  constructor(options: AccessOptions) {
    this.mounts = { ...DEFAULT_MOUNTS, ...options.mounts };
    this.announcer = options.announcer;
    this.secretIds = options.secretIds;
    this.#client = options.client;
    this.#token = options.token;
    this.#documents = new Kv(options.client, this.mounts.kv);
    this.#tokens = new Kv(options.client, this.mounts.tokens);
  }

  /**
   * Calls Vault as the operator.
   * @param doing what for, completing "Vault refuses to …"
   * @throws {PosternError} with the remedy in its detail
   */
  async call<T>(doing: string, work: (vault: VaultCall) => Promise<T>): Promise<T> {
    try {
      return await work({ client: this.#client, documents: this.#documents, tokens: this.#tokens, as: { token: this.#token.reveal() } });
    } catch (error) {
      throw explain(error, doing, this.#client.address);
    }
  }
}

export interface VaultCall {
  readonly client: VaultClient;
  readonly documents: Kv;
  readonly tokens: Kv;
  /** Every call names its token. */
  readonly as: { readonly token: string };
}
