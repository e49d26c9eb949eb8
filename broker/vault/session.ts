import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import type { VaultAnswer, VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';

export interface SessionOptions {
  client: VaultClient;
  /** AppRole mount of the broker's own role, e.g. `approle-broker`. */
  mount: string;
  roleId: string;
  /** The secret_id, or a response-wrapping token that holds it and can be opened once. */
  secretId: { value: string; wrapped: boolean };
  onEvent?: (event: SessionEvent) => void;
}

export type SessionEvent =
  | { event: 'login'; ttl: number }
  | { event: 'renewed'; ttl: number }
  | { event: 'failed'; fault: string; retryInMs: number };

/** Between two attempts to log in while Vault is away, ms. */
const BACKOFF_MIN = 250;
const BACKOFF_MAX = 5_000;

/**
 * The broker's own Vault token: logs in by AppRole, renews at two thirds of the token's life, logs in
 * again when the token is dead, and keeps trying while Vault is sealed or away.
 */
export class VaultSession {
  readonly #options: SessionOptions;
  #token: VaultToken | undefined;
  #secretId: string | undefined;
  #login: Promise<number> | undefined;
  readonly #stop = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
    if (!options.secretId.wrapped) this.#secretId = options.secretId.value;
  }

  get ready(): boolean {
    return this.#token !== undefined;
  }

  /** Runs until {@link stop}; never throws. */
  async run(): Promise<void> {
    let backoff = BACKOFF_MIN;
    while (!this.#stop.signal.aborted) {
      try {
        const ttl = this.#token === undefined ? await this.#loginOnce() : await this.#renew();
        backoff = BACKOFF_MIN;
        await this.#pause(Math.max(1000, ttl * 1000 * (0.6 + Math.random() * 0.1)));
      } catch (error) {
        this.#options.onEvent?.({ event: 'failed', fault: error instanceof Error ? error.message : 'unknown', retryInMs: backoff });
        // A dead token is replaced; a Vault that is only away may still know it.
        if (error instanceof VaultFault && error.reason === 'denied') this.#token = undefined;
        await this.#pause(backoff * (0.75 + Math.random() * 0.5));
        backoff = Math.min(backoff * 2, BACKOFF_MAX);
      }
    }
  }

  /** Ends {@link run} and gives the token back, so that no lease outlives the process. Never throws. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const token = this.#token;
    this.#token = undefined;
    if (token !== undefined) await this.#options.client.write('auth/token/revoke-self', {}, { token: token.reveal() }).catch(() => {});
  }

  /**
   * Calls Vault as the broker. A `denied` may mean that the token died, so the session logs in once
   * and the call is made once more; whoever waits notices nothing.
   * @throws {VaultFault}
   */
  async use<T>(call: (token: string) => Promise<T>): Promise<T> {
    const token = this.#token ?? (await this.#fresh());
    try {
      return await call(token.reveal());
    } catch (error) {
      if (!(error instanceof VaultFault && error.reason === 'denied')) throw error;
      // Denied by the policy, or because the token is dead? Only Vault knows.
      if (token === this.#token && (await this.#lives(token))) throw error;
      // Whoever was denied later than another finds the new token there already.
      const fresh = token === this.#token || this.#token === undefined ? await this.#fresh() : this.#token;
      return call(fresh.reveal());
    }
  }

  async #lives(token: VaultToken): Promise<boolean> {
    try {
      return (await this.#options.client.read('auth/token/lookup-self', { token: token.reveal() })) !== undefined;
    } catch (error) {
      if (error instanceof VaultFault && error.reason === 'denied') return false;
      throw error;
    }
  }

  async #fresh(): Promise<VaultToken> {
    await this.#loginOnce();
    return this.#token!;
  }

  /** One login for all who wait; a wrapped secret_id can be opened only once. @returns the token's life in seconds */
  #loginOnce(): Promise<number> {
    this.#login ??= this.#loginNow().finally(() => (this.#login = undefined));
    return this.#login;
  }

  async #loginNow(): Promise<number> {
    const { client, mount, roleId } = this.#options;
    this.#secretId ??= await this.#unwrap();
    const answer = await client.write(`auth/${mount}/login`, { role_id: roleId, secret_id: this.#secretId });
    const { token, ttl } = authOf(answer);
    this.#token = new VaultToken(token);
    this.#options.onEvent?.({ event: 'login', ttl });
    return ttl;
  }

  async #unwrap(): Promise<string> {
    const { client, secretId } = this.#options;
    try {
      const answer = await client.write('sys/wrapping/unwrap', {}, { token: secretId.value });
      const value = answer.data?.['secret_id'];
      if (typeof value === 'string') return value;
    } catch (error) {
      if (!(error instanceof VaultFault) || error.transient) throw error;
    }
    throw new PosternError('misconfigured', 'The wrapped secret_id of the broker cannot be unwrapped', {
      detail:
        'The wrapping token was used before or has ended. Issue a new one. If nobody of yours unwrapped it, ' +
        'somebody else did: destroy that secret_id.',
    });
  }

  async #renew(): Promise<number> {
    const answer = await this.#options.client.write('auth/token/renew-self', {}, { token: this.#token!.reveal() });
    const { ttl, renewable } = authOf(answer);
    this.#options.onEvent?.({ event: 'renewed', ttl });
    // Near its max TTL a renewal gives less and less: log in anew in time.
    if (!renewable || ttl < 10) return this.#loginOnce();
    return ttl;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
  }
}

function authOf(answer: VaultAnswer): { token: string; ttl: number; renewable: boolean } {
  const { client_token: token, lease_duration: ttl, renewable } = answer.auth ?? {};
  if (typeof token !== 'string' || typeof ttl !== 'number') throw new VaultFault('unavailable', 'Vault answered a login without a token');
  return { token, ttl, renewable: renewable === true };
}
