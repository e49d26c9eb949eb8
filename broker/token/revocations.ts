import { NAME } from '#broker/credential/identity.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import { unaskedOf } from '#broker/vault-fault.ts';

/** One token that was taken back before its end. */
export interface RevokedToken {
  /** Hexadecimal. The token itself is kept nowhere. */
  readonly sha256: string;
  readonly tenant: string;
  /** When it would end anyway, and is forgotten here; seconds since 1970. */
  readonly exp: number;
  /** When it was revoked, seconds since 1970; 0 where that is no longer kept. */
  readonly at: number;
}

/** What every replica reads each second. */
export interface RecentRevocations {
  /** How many there ever were. */
  readonly serial: number;
  /** The latest, newest last. Those that came before were moved to the archive. */
  readonly recent: readonly RevokedToken[];
  /** Names the state read, for check-and-set. */
  readonly version: number;
}

/** The port to what the replicas share. A faulty document throws: nobody guesses that nothing was revoked. */
export interface RevocationLog {
  readRecent(): Promise<RecentRevocations>;
  readArchive(): Promise<RevokedToken[]>;
  /**
   * @returns what is there now; undefined when somebody else was faster. @throws {PosternError} temporarily_unavailable, when it is full
   * too
   */
  append(token: RevokedToken, after: RecentRevocations): Promise<RecentRevocations | undefined>;
}

export interface RevocationsOptions extends Clocks {
  log: RevocationLog;
  /** Most revocations of one tenant in 60 s, on all replicas together. Default 10. */
  perMinute?: number;
  /** Told once each time the log counts backwards: Vault was restored to an older state. */
  onRestored?: (from: number, to: number) => void;
  /** Told of each that could not be written when it was asked for, and is now. */
  onWritten?: (token: RevokedToken) => void;
  /** So late it is for sure, by which they are forgotten: no clock that went ahead makes one good again. ms since 1970. Default: now. */
  earliest?: (() => number) | undefined;
}

/** Most revoked tokens of one tenant that have not ended yet: one tenant must not fill what all share. */
export const MAX_PER_TENANT = 1_000;
/** Each lost race means that somebody else's revocation went through. */
const ATTEMPTS = 12;
/** Most revocations that wait for their turn in one process. */
const QUEUE = 200;
/** An ended token is remembered so much longer: clocks differ. Seconds. */
const KEPT_AFTER_END = 60;
/** Between two looks for what has ended, ms. */
const TIDY_EVERY = 60_000;

/**
 * Tokens that were taken back. Memory follows the shared log, which is read with the epoch each second: what one
 * replica revokes is revoked on all of them within 2 s. Nothing that was learnt is unlearnt before the token's own end.
 */
export class Revocations {
  readonly #log: RevocationLog;
  readonly #perMinute: number;
  readonly #onRestored: ((from: number, to: number) => void) | undefined;
  readonly #onWritten: ((token: RevokedToken) => void) | undefined;
  readonly #clock: Clock;
  readonly #earliest: () => number;
  readonly #revoked = new Map<string, RevokedToken>();
  #serial: number | undefined;
  #heard = 0;
  #tidyAt = -Infinity;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Of those, how many of each tenant. */
  readonly #waitingOf = new Map<string, number>();
  /** By sha256: the same token, asked for many times, is written once. */
  readonly #flights = new Map<string, Promise<boolean>>();
  /** By sha256: asked for while Vault was away. This replica obeys at once, and writes them when Vault answers. */
  readonly #owed = new Map<string, RevokedToken>();
  #settling = false;

  constructor(options: RevocationsOptions) {
    this.#log = options.log;
    this.#perMinute = options.perMinute ?? 10;
    this.#onRestored = options.onRestored;
    this.#onWritten = options.onWritten;
    this.#clock = clockOf(options);
    this.#earliest = options.earliest ?? this.#clock.now;
  }

  /** @param sha256 hexadecimal */
  has(sha256: string): boolean {
    return this.#revoked.has(sha256) || this.#owed.has(sha256);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#revoked.size + this.#owed.size;
  }

  /** How many were ever heard of. */
  get heard(): number {
    return this.#heard;
  }

  /** Learns what was revoked since the last look; at the first one, all. @throws {PosternError} temporarily_unavailable */
  async look(): Promise<void> {
    await this.#learn(await this.#log.readRecent());
    this.#tidy();
    if (this.#owed.size > 0 && !this.#settling) void this.#settle();
  }

  /**
   * Takes a token back, for good. It is written in one piece, and the same call again does what is missing. Where Vault is away this
   * replica obeys all the same, and owes it to the others: whoever wants a token gone shouldn't see it served.
   * @returns false where it was revoked before
   * @throws {PosternError} too_many_requests; temporarily_unavailable when the log can't be written
   */
  async revoke(token: Omit<RevokedToken, 'at'>): Promise<boolean> {
    if (this.#revoked.has(token.sha256)) return false;
    const flying = this.#flights.get(token.sha256);
    if (flying !== undefined) return flying.then(() => false);
    // Before anybody's turn, and at no cost to Vault.
    const told = this.#owed.get(token.sha256);
    if (told === undefined) this.#requireAllowance(token.tenant);
    // One tenant's don't fill the line that all share.
    const own = this.#waitingOf.get(token.tenant) ?? 0;
    if (own >= this.#perMinute) throw tooMany('Too many revocations, try again later', 1);
    if (this.#waiting >= QUEUE) throw busy('too many revocations wait for their turn');
    return this.#take(told ?? { ...token, at: Math.floor(this.#clock.now() / 1000) });
  }

  /** One after another: those of one process would only lose races to each other. */
  #take(token: RevokedToken): Promise<boolean> {
    this.#waiting++;
    this.#waitingOf.set(token.tenant, (this.#waitingOf.get(token.tenant) ?? 0) + 1);
    const turn = this.#turn.then(() => this.#writeOrOwe(token)).finally(() => this.#leave(token));
    this.#flights.set(token.sha256, turn);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #writeOrOwe(token: RevokedToken): Promise<boolean> {
    const owed = this.#owed.has(token.sha256);
    try {
      const first = await this.#write(token);
      if (owed) this.#onWritten?.(token);
      return first;
    } catch (error) {
      if (unaskedOf(error) !== undefined) this.#owed.set(token.sha256, token);
      throw error;
    }
  }

  /** Vault has come back. What can't be written is tried again at the next look. */
  async #settle(): Promise<void> {
    this.#settling = true;
    for (const token of this.#owed.values()) {
      try {
        await (this.#flights.get(token.sha256) ?? this.#take(token));
      } catch (error) {
        // One of a shard that is full doesn't hold up the others.
        if (unaskedOf(error) !== undefined) break;
      }
    }
    this.#settling = false;
  }

  #leave({ sha256, tenant }: RevokedToken): void {
    this.#waiting--;
    this.#flights.delete(sha256);
    const left = (this.#waitingOf.get(tenant) ?? 1) - 1;
    if (left === 0) this.#waitingOf.delete(tenant);
    else this.#waitingOf.set(tenant, left);
  }

  async #write(token: RevokedToken): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      const before = await this.#log.readRecent();
      await this.#learn(before);
      if (this.#revoked.has(token.sha256)) return false;
      if (!this.#owed.has(token.sha256)) this.#requireAllowance(token.tenant);
      const after = await this.#log.append(token, before);
      if (after !== undefined) {
        await this.#learn(after);
        return true;
      }
      if (attempt === ATTEMPTS) throw busy('too many replicas write state/revocations at once');
      await this.#clock.sleep(this.#clock.random() * 20 * attempt);
    }
  }

  /** Each revocation makes the next exchange ask the source, which may be metered. */
  #requireAllowance(tenant: string): void {
    const now = this.#clock.now() / 1000;
    const own = [...this.#revoked.values(), ...this.#owed.values()].filter((one) => one.tenant === tenant && one.exp > now);
    const lately = own
      .map(({ at }) => at)
      // Far ahead is from before a clock was set back: it fills the window of nobody.
      .filter((at) => at > now - 60 && at <= now + 60)
      .sort((a, b) => a - b);
    if (lately.length >= this.#perMinute) {
      // The one that must leave the window before another fits.
      const first = lately[lately.length - this.#perMinute]!;
      throw tooMany('Too many revocations, try again later', first + 60 - now);
    }
    if (own.length >= MAX_PER_TENANT)
      throw tooMany('Too many revoked tokens that have not ended yet', Math.min(...own.map(({ exp }) => exp)) - now);
  }

  async #learn({ serial, recent }: RecentRevocations): Promise<void> {
    const known = this.#serial;
    for (const one of recent) this.#remember(one);
    // All that happened since stands in `recent`, else some of it was moved to the archive meanwhile. A log that counts backwards was
    // restored from
    // an older version: what it says is learnt, and nothing forgotten.
    const missed = known === undefined || serial < known ? serial > recent.length : serial - known > recent.length;
    if (missed) for (const one of await this.#log.readArchive()) this.#remember(one);
    // Only now: when the archive could not be read, the next look tries it again.
    this.#serial = serial;
    if (known !== undefined && serial < known) this.#onRestored?.(known, serial);
  }

  #remember(one: RevokedToken): void {
    this.#owed.delete(one.sha256);
    const known = this.#revoked.get(one.sha256);
    if (known === undefined) this.#heard++;
    // The archive does not know when it was.
    if (known === undefined || known.at < one.at) this.#revoked.set(one.sha256, one);
  }

  #tidy(): void {
    if (this.#clock.monotonic() < this.#tidyAt) return;
    this.#tidyAt = this.#clock.monotonic() + TIDY_EVERY;
    const now = this.#earliest();
    for (const those of [this.#revoked, this.#owed]) for (const [sha256, { exp }] of those) if (hasEnded(exp, now)) those.delete(sha256);
  }
}

/** Whether a revocation may be forgotten: no clock takes the token for alive any more. */
export function hasEnded(exp: number, nowMs: number): boolean {
  return exp + KEPT_AFTER_END < nowMs / 1000;
}

/** What may stand in the log. */
export function isRevokedToken({ sha256, tenant }: Pick<RevokedToken, 'sha256' | 'tenant'>): boolean {
  return /^[0-9a-f]{64}$/.test(sha256) && NAME.test(tenant);
}

function busy(detail: string): PosternError {
  return new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { detail, retryAfter: 1 });
}

function tooMany(description: string, seconds: number): PosternError {
  return new PosternError('too_many_requests', description, { retryAfter: Math.min(3600, Math.max(1, Math.ceil(seconds))) });
}
