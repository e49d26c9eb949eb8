import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { OwnError, PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from './client.ts';
import type { OwnLogin, OwnToken } from './own/login.ts';
import type { Life } from './own/secret-id-life.ts';

export interface SessionOptions extends Clocks {
  client: VaultClient;
  /** The broker's own identity. */
  login: OwnLogin;
  onEvent?: (event: SessionEvent) => void;
  /** How long a credential that Vault refuses is tried, ms, before {@link SessionOptions.onEnd}; 0: for ever. Default 0. */
  graceMs?: number;
  /** Told once, when there was no way to a token for that long: nothing but another credential helps. */
  onEnd?: ((reason: PosternError) => void) | undefined;
}

export type SessionEvent =
  | { event: 'login'; ttl: number }
  | { event: 'renewed'; ttl: number }
  /** Once when trouble begins, and once more where it turns out to be of the other kind. */
  | { event: 'failed'; kind: Trouble; fault: string; remedy?: string | undefined }
  | { event: 'recovered'; seconds: number };

/** `away`: Vault can't be asked. `refused`: it can, and refuses; or the credential's file is gone or unreadable. */
export type Trouble = 'away' | 'refused';

interface Troubled {
  /** ms of the monotonic clock, as is `refusedAt`. */
  readonly since: number;
  /** What was told of it. */
  readonly told: Set<Trouble>;
  /** When Vault refused last; undefined: it couldn't be asked since, or there is a token. */
  refusedAt: number | undefined;
  /** For how long it refused so far, ms. */
  refusedFor: number;
}

/** Between two attempts while there is trouble, ms; the second follows the first at once. */
const BACKOFF_MIN = 250;
const BACKOFF_MAX = 5_000;
/** How often a credential's file is looked at, ms. */
const LOOK = 1_000;
/** Longest rest, ms: a timer can't hold a token's longest life. */
const REST_MAX = 3_600_000;

/**
 * The broker's own Vault token: logs in, renews at two thirds of the token's life, logs in again when the token is dead, and keeps
 * trying while Vault is sealed or away.
 */
export class VaultSession {
  readonly #options: SessionOptions;
  readonly #clock: Clock;
  #token: VaultToken | undefined;
  #login: Promise<number> | undefined;
  /** When {@link run} renews, while there is no trouble; ms of the monotonic clock. */
  #renewAt = 0;
  /** When the token ends, ms of the monotonic clock; undefined: never, or not known. */
  #endsAt: number | undefined;
  #failures = 0;
  /** The last failure, and until when nobody tries again, ms of the monotonic clock. */
  #failed: { error: unknown; until: number } | undefined;
  #trouble: Troubled | undefined;
  #ended = false;
  #wake = new AbortController();
  #stopped = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#clock = clockOf(options);
  }

  get ready(): boolean {
    return this.#token !== undefined;
  }

  /** Whether the last login failed, for whatever reason. */
  get failed(): boolean {
    return this.#failed !== undefined;
  }

  /** For how long there has been no token since Vault refuses the broker's own login, ms. Other replicas may well have one. */
  get shutOutMs(): number {
    const { refusedAt, refusedFor } = this.#trouble ?? {};
    if (this.#token !== undefined || refusedAt === undefined || refusedFor === undefined) return 0;
    return refusedFor + this.#clock.monotonic() - refusedAt;
  }

  /** How long the token still lives, seconds; undefined where there is none, or it doesn't end. */
  get remaining(): number | undefined {
    return this.#token === undefined || this.#endsAt === undefined ? undefined : Math.max(0, this.#endsAt - this.#clock.monotonic()) / 1000;
  }

  /** How long the credential by which the broker logs in still lives; undefined where it doesn't end, or nobody knows. */
  get credentialLife(): Life | undefined {
    return this.#options.login.credentialLife;
  }

  /** What is wrong with the broker's own login, in an operator's words; undefined: nothing. */
  get problem(): string | undefined {
    const error = this.#failed?.error;
    return error instanceof OwnError ? error.message : undefined;
  }

  /** Runs until {@link stop}; never throws. */
  async run(): Promise<void> {
    const { login } = this.#options;
    while (!this.#stopped) {
      const token = this.#token;
      // Either tells what went wrong by itself, and when to try again.
      if (token === undefined || (login.followsFile && login.changed())) await this.#loginOnce().catch(() => {});
      else await this.#renew(token).catch(() => {});
      await this.#rest();
    }
  }

  /** Ends {@link run} and gives the token back where it is the broker's alone, so that no lease outlives the process. Never throws. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake.abort();
    await this.#login?.catch(() => {});
    const token = this.#token;
    this.#token = undefined;
    if (token !== undefined && this.#options.login.ownsToken)
      await this.#options.client.write('auth/token/revoke-self', {}, { token: token.reveal() }).catch(() => {});
  }

  /**
   * Calls Vault as the broker. A `denied` may mean that the token died, so the session logs in once
   * and the call is made once more; whoever waits notices nothing.
   * @throws {VaultFault}
   * @throws {PosternError} misconfigured: Vault refuses the broker's own login
   */
  async use<T>(call: (token: string) => Promise<T>): Promise<T> {
    const token = this.#token ?? (await this.#fresh());
    try {
      return await call(token.reveal());
    } catch (error) {
      if (!(error instanceof VaultFault && error.reason === 'denied')) throw error;
      // Denied by the policy, or because the token is dead? Only Vault knows.
      if (token === this.#token && (await this.#lives(token))) throw error;
      if (token === this.#token) this.#token = undefined;
      // Whoever was denied later than another finds the new token there already.
      return call((this.#token ?? (await this.#fresh())).reveal());
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
    try {
      // While there is trouble `run` tries in its own time, and whoever comes meanwhile is told at once.
      if (this.#login === undefined && this.#failed !== undefined && this.#clock.monotonic() < this.#failed.until) throw this.#failed.error;
      await this.#loginOnce();
      return this.#token!;
    } catch (error) {
      // It reaches clients, who needn't know how the broker logs in.
      if (error instanceof PosternError)
        throw new PosternError('misconfigured', 'Service temporarily unavailable', {
          detail: `${error.message}. ${error.detail ?? ''}`,
          retryAfter: BACKOFF_MAX / 1000,
        });
      throw error;
    }
  }

  /** One login for all who wait; a wrapped secret_id can be opened only once. @returns the token's life in seconds */
  #loginOnce(): Promise<number> {
    this.#login ??= this.#loginNow().finally(() => (this.#login = undefined));
    return this.#login;
  }

  async #loginNow(): Promise<number> {
    try {
      const { token, ttl } = await this.#options.login.login();
      if (this.#token?.reveal() !== token) this.#token = new VaultToken(token);
      this.#works({ event: 'login', ttl });
      return ttl;
    } catch (error) {
      this.#fails(error);
      throw error;
    }
  }

  async #renew(token: VaultToken): Promise<void> {
    const { login } = this.#options;
    let renewed: OwnToken;
    try {
      renewed = await login.renew(token.reveal());
    } catch (error) {
      // Replaced meanwhile.
      if (token !== this.#token) return;
      // A dead token is replaced, at once; a Vault that is only away may still know it.
      if (!(error instanceof VaultFault && error.reason === 'denied')) return this.#fails(error);
      this.#token = undefined;
      return void (await this.#loginOnce());
    }
    if (token !== this.#token) return;
    if (renewed.token !== token.reveal()) this.#token = new VaultToken(renewed.token);
    this.#works({ event: 'renewed', ttl: renewed.ttl });
    // Near its max TTL a renewal gives less and less: log in anew in time.
    if (login.ownsToken && (!renewed.renewable || renewed.ttl < 10)) await this.#loginOnce();
  }

  #works(event: Extract<SessionEvent, { ttl: number }>): void {
    const { onEvent } = this.#options;
    const now = this.#clock.monotonic();
    this.#failures = 0;
    this.#failed = undefined;
    this.#endsAt = event.ttl === 0 ? undefined : now + event.ttl * 1000;
    this.#renewAt =
      now + (event.ttl === 0 ? REST_MAX : Math.min(REST_MAX, Math.max(1000, event.ttl * 1000 * (0.6 + this.#clock.random() * 0.1))));
    if (this.#trouble !== undefined) onEvent?.({ event: 'recovered', seconds: Math.round((now - this.#trouble.since) / 100) / 10 });
    this.#trouble = undefined;
    onEvent?.(event);
  }

  #fails(error: unknown): void {
    const now = this.#clock.monotonic();
    // The second attempt may follow the first at once.
    const backoff = this.#failures === 0 ? 0 : Math.min(BACKOFF_MIN * 2 ** (this.#failures - 1), BACKOFF_MAX);
    this.#failures++;
    this.#failed = { error, until: now + backoff * (0.75 + this.#clock.random() * 0.5) };
    const kind = error instanceof PosternError ? 'refused' : 'away';
    const trouble = (this.#trouble ??= { since: now, told: new Set(), refusedAt: undefined, refusedFor: 0 });
    if (!trouble.told.has(kind)) {
      trouble.told.add(kind);
      const { message: fault } = error instanceof OwnError ? error : { message: 'unknown' };
      this.#options.onEvent?.({ event: 'failed', kind, fault, ...(error instanceof PosternError ? { remedy: error.detail } : {}) });
    }
    this.#countRefusal(trouble, error, now);
    this.#wake.abort();
  }

  /** Only the time counts in which Vault refused, and there was no token. */
  #countRefusal(trouble: Troubled, error: unknown, now: number): void {
    if (!(error instanceof PosternError) || this.#token !== undefined) {
      trouble.refusedAt = undefined;
      return;
    }
    trouble.refusedFor += now - (trouble.refusedAt ?? now);
    trouble.refusedAt = now;
    const { graceMs = 0, onEnd } = this.#options;
    if (graceMs === 0 || trouble.refusedFor < graceMs || this.#ended || this.#stopped) return;
    this.#ended = true;
    onEnd?.(error);
  }

  /** Until the token is to be renewed or, while there is trouble, the next attempt; ends early when the credential's file changes. */
  async #rest(): Promise<void> {
    const { login, graceMs = 0 } = this.#options;
    const began = this.#clock.monotonic();
    while (!this.#stopped) {
      let until = this.#renewAt;
      if (this.#failed !== undefined) {
        until = Math.max(began + BACKOFF_MIN, this.#failed.until);
        const { refusedAt, refusedFor } = this.#trouble ?? { refusedAt: undefined, refusedFor: 0 };
        // The last attempt comes when the grace is over, not a little later.
        if (graceMs > 0 && refusedAt !== undefined && !this.#ended)
          until = Math.min(until, Math.max(began + 1, refusedAt + graceMs - refusedFor));
      }
      const left = until - this.#clock.monotonic();
      if (left <= 0) return;
      const watch = this.#failed !== undefined || login.followsFile;
      this.#wake = new AbortController();
      await this.#clock.sleep(watch ? Math.min(left, LOOK) : left, { signal: this.#wake.signal, idle: true }).catch(() => {});
      if (watch && login.changed()) return;
    }
  }
}
