import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { Ending } from '#broker/credential/endings.ts';
import type { VaultToken } from '#broker/credential/identity.ts';
import { VaultFault } from '#broker/vault-fault.ts';
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
  /** Default: the real one. */
  clock?: Clocks | undefined;
  /** Tells brokers what this caller ended, where the caller may not write that for everybody. */
  announcer?: Announcer | undefined;
  /** Whether the end of this key was announced, where the caller knows that already. */
  hasEnded?: ((keyId: string) => boolean) | undefined;
  /** What is known of secret_ids, so that a list looks up new ones alone. */
  secretIds?: SecretIdMemory | undefined;
  /**
   * Opens a way to the active node, where a standby sends the caller there instead of asking it itself: behind a balancer, say. Without
   * it a redirect is a fault. Whoever gives it closes what it opened.
   */
  activeNode?: ((address: string) => VaultClient) | undefined;
}

/** By tenant and accessor: whatever a secret_id's accessor shows stays as it is until it goes. */
export interface SecretIdMemory {
  get(name: string): StoredSecretId | undefined;
  set(name: string, one: StoredSecretId): unknown;
}

/** What announces for a caller whom Vault lets end only what is its own. */
export interface Announcer {
  ended(endings: readonly Pick<Ending, 'kind' | 'id' | 'tenant'>[]): Promise<void>;
  /** That these are destroyed, whose end was announced. */
  destroyed(ids: readonly string[]): Promise<void>;
  /** That a rotation gave this key an end. */
  rotated(keyId: string): Promise<void>;
}

/** An operator's way into Vault: their token, and errors that say what to do. */
export class VaultAccess {
  readonly mounts: Mounts;
  readonly clock: Clock;
  readonly announcer: Announcer | undefined;
  readonly secretIds: SecretIdMemory | undefined;
  readonly hasEnded: AccessOptions['hasEnded'];
  readonly #activeNode: AccessOptions['activeNode'];
  readonly #token: VaultToken;
  #way: Way;

  constructor(options: AccessOptions) {
    this.mounts = { ...DEFAULT_MOUNTS, ...options.mounts };
    this.clock = clockOf(options.clock ?? {});
    this.announcer = options.announcer;
    this.secretIds = options.secretIds;
    this.hasEnded = options.hasEnded;
    this.#activeNode = options.activeNode;
    this.#token = options.token;
    this.#way = this.#wayBy(options.client);
  }

  /** By Vault's clock and ours it is so late for sure: Vault's documents forget by it; -Infinity until Vault's is known. ms since 1970 */
  get earliest(): number {
    return this.#way.client.clock.earliest;
  }

  /**
   * Calls Vault as the operator.
   * @param doing what for, completing "Vault refuses to …"
   * @throws {PosternError} with the remedy in its detail
   */
  async call<T>(doing: string, work: (vault: VaultCall) => Promise<T>): Promise<T> {
    const way = this.#way;
    try {
      return await this.#by(way, work);
    } catch (error) {
      const active = error instanceof VaultFault && error.reason === 'redirected' ? await this.#toActiveNode(way) : undefined;
      if (active === undefined) throw explain(error, doing, way.client.address);
      // A redirected request was not carried out.
      return await this.#by(active, work).catch((again: unknown) => {
        throw explain(again, doing, active.client.address);
      });
    }
  }

  #by<T>({ client, documents, tokens }: Way, work: (vault: VaultCall) => Promise<T>): Promise<T> {
    return work({ client, documents, tokens, as: { token: this.#token.reveal() } });
  }

  #wayBy(client: VaultClient): Way {
    return { client, documents: new Kv(client, this.mounts.kv), tokens: new Kv(client, this.mounts.tokens) };
  }

  /** @returns undefined where there is none, or this is it already */
  async #toActiveNode(from: Way): Promise<Way | undefined> {
    if (this.#activeNode === undefined) return undefined;
    // Another call has gone there meanwhile.
    if (this.#way !== from) return this.#way;
    const address = await from.client.activeNode().catch(() => undefined);
    if (address === undefined || address === from.client.address) return undefined;
    if (this.#way === from) this.#way = this.#wayBy(this.#activeNode(address));
    return this.#way;
  }
}

type Way = Omit<VaultCall, 'as'>;

export interface VaultCall {
  readonly client: VaultClient;
  readonly documents: Kv;
  readonly tokens: Kv;
  /** Every call names its token. */
  readonly as: { readonly token: string };
}
