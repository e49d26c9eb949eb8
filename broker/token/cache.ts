import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { Changed } from '#broker/credential/generations.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { traced } from '#broker/span.ts';
import { FreshTokens, Untimely } from './fresh-tokens.ts';
import { HeldLease } from './held-lease.ts';
import { HeldTokens } from './held-tokens.ts';
import type { HeldToken } from './held-tokens.ts';
import { CLOCK_TOLERANCE } from './issued-tokens.ts';
import { LONGEST_PAUSE, isFree, isPause } from './lease.ts';
import { ScopeSets } from './scope-sets.ts';
import { Servable } from './servable.ts';
import type { ServableOptions } from './servable.ts';
import type { Served } from './served.ts';
import type { TokenSource } from './source.ts';
import type { EarlyReading, StoredToken, TokenStore } from './store.ts';
import type { Token } from './token.ts';
import type { Handover, TokenWork } from './work.ts';

export type { Served, ServedFrom } from './served.ts';

export interface TokenCacheOptions extends Clocks, ServableOptions {
  store: TokenStore;
  /** By name. */
  sources: Readonly<Record<string, TokenSource | undefined>>;
  /** Whether something about a tenant changed while its token was fetched: that one is neither stored nor served. */
  generations?: Pick<Generations, 'now' | 'since'>;
  /** Most tokens in memory. Default 100,000. */
  max?: number;
  /** Most memory for them and what belongs to them, bytes, about. Default: none but that of `max`. */
  maxBytes?: number;
  /** Most tokens for fewer than all scopes that a tenant may hold at one API. Default 32. */
  scopeSets?: number;
  /**
   * The store's clock, by which leases last: two machines' own may be seconds apart, and then each would take the other's lease for ended.
   * ms since 1970. Default: this machine's.
   */
  storeNow?: (() => number) | undefined;
  /** How long one replica may take to ask the source before others try, ms. Default 10,000. */
  leaseMs?: number;
  onRefreshError?: (grant: AuthorizedGrant, error: unknown) => void;
  /** Whether a token in the store is one that its source made for this grant. Default: all are. */
  isGenuine?: (grant: AuthorizedGrant, token: Token) => Promise<boolean>;
  /** Told of one that isn't, or that is dated in the future by the store's clock: it is served to nobody, and overwritten. */
  onForgery?: (grant: AuthorizedGrant, token: Token, future: boolean) => void;
  /** Told of what is done in the background. */
  onWork?: (work: TokenWork) => void;
}

/** Pause after a failed refresh, ms, unless the source names a longer one. */
const REFRESH_PAUSE = 5_000;
/** Between two looks at the store while another replica asks the source, ms. */
const POLL = 100;
/** The same after another replica was faster: it may be done already. */
const POLL_AFTER_CONFLICT = 20;
/** After a fault of this machine's, or a quota of Vault's, which an operator may lift at any time, ms. */
const LONGEST_PAUSE_HERE = 30_000;
/** Between two attempts to write a token into a store that is away, ms. */
const PLACE_AGAIN = 1_000;
const PLACE_AGAIN_TIMES = 8;
/** How often one flight begins again because its token was forgotten while it was under way. */
const BEGINNINGS = 5;
/** A token that is being read or issued, for all who wait for it. */
interface Flight {
  readonly grant: AuthorizedGrant;
  readonly served: Promise<Served>;
  /** Whether a client waits for it. */
  asked: boolean;
  /** What it brings is not served any more: it begins again. */
  forgotten: boolean;
}

/**
 * Memory over the shared store over the source. One flight a key in a process, one lease a key
 * among the replicas, so that a token's life costs one call to its source however many ask.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #servable: Servable;
  readonly #fresh: FreshTokens;
  readonly #leaseMs: number;
  readonly #clock: Clock;
  /** Apart: each request looks at it. */
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #storeNow: () => number;
  readonly #memory: HeldTokens;
  readonly #flights = new Map<string, Flight>();
  /** When a key may be refreshed again after a failure, ms of the monotonic clock. */
  readonly #pauses = new BoundedMap<string, number>(10_000);
  /** By grant: until when it isn't asked for here, ms of the monotonic clock, since the fault lies here; the other replicas go on. */
  readonly #faults = new BoundedMap<string, { readonly until: number; readonly error: PosternError }>(10_000);
  readonly #holder: string;
  readonly #scopeSets: ScopeSets;
  /** Tokens fetched before they were due, since the start, whoever asked. */
  readonly refreshes = { done: 0, failed: 0 };

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#servable = new Servable(options);
    this.#clock = clockOf(options);
    this.#holder = this.#clock.uuid();
    this.#fresh = new FreshTokens(options.sources, this.#servable, options);
    this.#leaseMs = options.leaseMs ?? 10_000;
    this.#now = this.#clock.now;
    this.#monotonic = this.#clock.monotonic;
    this.#storeNow = options.storeNow ?? this.#now;
    this.#memory = new HeldTokens({ max: options.max ?? 100_000, maxBytes: options.maxBytes });
    this.#scopeSets = new ScopeSets(options.scopeSets ?? 32, options.max ?? 100_000);
  }

  /**
   * @param early a reading of the store begun before the grant was known.
   * @returns at once from memory, else a promise.
   * @throws {PosternError} what the source says; temporarily_unavailable when the store is away
   */
  get(grant: AuthorizedGrant, identity: Identity, early?: EarlyReading): Served | Promise<Served> {
    const held = this.#memory.get(grant.key);
    if (held === undefined) return this.#join(grant, identity, undefined, true, early);
    const now = this.#servable.now(held.token);
    if (!this.#servable.includes(held.token, grant.tenant, now)) return this.#join(grant, identity, undefined, true, early);
    held.asked = true;
    if (now < held.token.refreshAt) return held;
    if (identity.lent) return this.#refreshWaiting(grant, identity, held);
    if (this.#mayRefresh(grant)) this.#refresh(grant, identity, held.token, true);
    return held;
  }

  /** Tokens in memory that a client asked for, the last used first. */
  recent(): readonly HeldToken[] {
    return this.#memory.all().filter(({ asked }) => asked);
  }

  /**
   * Fetches the next token in the background before anybody asks for it, where the one in memory is due.
   * @returns whether it has begun to
   */
  refreshAhead({ grant, token }: HeldToken, identity: Identity): boolean {
    const now = this.#servable.now(token);
    if (now < token.refreshAt || !this.#servable.includes(token, grant.tenant, now) || !this.#mayRefresh(grant)) return false;
    this.#refresh(grant, identity, token, false);
    return true;
  }

  has(grant: AuthorizedGrant): boolean {
    return this.#memory.has(grant.key);
  }

  /** The same grant, where it is kept with a token in memory. */
  kept(grant: AuthorizedGrant): AuthorizedGrant | undefined {
    return this.#memory.kept(grant);
  }

  /** Whether a client waits for this grant's token, and it isn't only fetched ahead. */
  isAwaited(grant: AuthorizedGrant): boolean {
    return this.#flights.get(grant.key)?.asked === true;
  }

  /**
   * Takes tokens out of memory, those too that are only on their way into it: the next to ask gets what the store or the source then has.
   */
  forget(matches: (grant: AuthorizedGrant, token?: Token) => boolean): void {
    this.#memory.forget(({ grant, token }) => matches(grant, token));
    for (const flight of this.#flights.values()) flight.forgotten ||= matches(flight.grant);
  }

  /** Tokens in memory. */
  get size(): number {
    return this.#memory.size;
  }

  /** Tokens that others pushed out of memory, since the start. */
  get evicted(): number {
    return this.#memory.evicted;
  }

  /** Whether further tokens would soon push others out of memory. */
  get full(): boolean {
    return this.#memory.full;
  }

  /** Whether memory has a token that may be served for all that the tenant was last granted at this API. */
  holds(tenant: string, api: string): boolean {
    const held = this.#memory.whole(tenant, api);
    return held !== undefined && this.#servable.includes(held.token, tenant);
  }

  #requireUnchanged({ tenant }: AuthorizedGrant, begun: number): void {
    if (this.#options.generations?.since(tenant, begun)) throw new Changed();
  }

  /** @throws {PosternError} what went wrong here a moment ago */
  #requireFaultless({ key }: AuthorizedGrant): void {
    const fault = this.#faults.get(key);
    const left = fault === undefined ? 0 : fault.until - this.#monotonic();
    if (fault === undefined || left <= 0) return;
    const { code, message, detail = '' } = fault.error;
    throw new PosternError(code, message, { detail, retryAfter: Math.ceil(left / 1000), here: true });
  }

  #mayRefresh(grant: AuthorizedGrant): boolean {
    return !this.#flights.has(grant.key) && (this.#pauses.get(grant.key) ?? -Infinity) <= this.#monotonic();
  }

  /** In the background: the token at hand is still good. */
  #refresh(grant: AuthorizedGrant, identity: Identity, old: Token, asked: boolean): void {
    this.#join(grant, identity, old, asked).catch((error: unknown) => {
      if (!(error instanceof Changed)) this.#options.onRefreshError?.(grant, error);
    });
  }

  /** A lent Vault token may not be used once its request is answered, so that request waits; it loses nothing but time. */
  async #refreshWaiting(grant: AuthorizedGrant, identity: Identity, served: Served): Promise<Served> {
    if (!this.#mayRefresh(grant)) return served;
    try {
      return await this.#join(grant, identity, served.token, true);
    } catch (error) {
      if (error instanceof Changed) throw error;
      this.#options.onRefreshError?.(grant, error);
      return served;
    }
  }

  #pause(grant: AuthorizedGrant, error: unknown): void {
    const told = error instanceof PosternError ? error : undefined;
    const longest = told?.here === true || told?.unasked !== undefined ? LONGEST_PAUSE_HERE : LONGEST_PAUSE;
    const pause = Math.min((told?.retryAfter ?? 0) * 1000, longest);
    this.#pauses.set(grant.key, this.#monotonic() + Math.max(pause, REFRESH_PAUSE) * (1 + this.#clock.random() * 0.2));
  }

  /** One that is due as soon as it is issued (its iat is wrong, or this machine's clock) has no next one fetched with each request. */
  #requireRest({ grant, token, from }: Served): void {
    const now = this.#servable.now(token);
    if (from !== 'source' || now < token.refreshAt) return;
    this.#pauses.set(grant.key, this.#monotonic() + Math.max(REFRESH_PAUSE, (token.expiresAt * 1000 - now) / 2));
  }

  /**
   * @param old a token that the answer must outlive
   * @param asked whether a client waits
   */
  #join(grant: AuthorizedGrant, identity: Identity, old: Token | undefined, asked: boolean, early?: EarlyReading): Promise<Served> {
    const flying = this.#flights.get(grant.key);
    if (flying) {
      flying.asked ||= asked;
      return flying.served;
    }
    const flight = { grant, asked, forgotten: false };
    const begun = this.#monotonic();
    const told = (outcome: 'refreshed' | 'failed' | 'dropped', fresh?: Served, error?: unknown): void =>
      this.#options.onWork?.({
        kind: 'refresh',
        grant,
        outcome,
        ahead: !flight.asked,
        ms: this.#monotonic() - begun,
        ...(fresh === undefined ? { error } : { served: fresh }),
      });
    const served = this.#fly(flight, identity, old, early)
      .then((fresh) => {
        this.#requireRest(fresh);
        if (old !== undefined) {
          this.refreshes.done++;
          told('refreshed', fresh);
        }
        return fresh;
      })
      .catch((error: unknown) => {
        // Before the flight ends, or the next request would begin another.
        if (old !== undefined && !(error instanceof Changed)) {
          this.refreshes.failed++;
          this.#pause(grant, error);
        }
        if (old !== undefined) told(error instanceof Changed ? 'dropped' : 'failed', undefined, error);
        throw error;
      })
      .finally(() => this.#flights.delete(grant.key));
    this.#flights.set(grant.key, Object.assign(flight, { served }));
    return served;
  }

  async #fly(flight: Omit<Flight, 'served'>, identity: Identity, old: Token | undefined, early?: EarlyReading): Promise<Served> {
    const { grant } = flight;
    const begun = this.#options.generations?.now ?? 0;
    for (let beginning = 0; beginning < BEGINNINGS; beginning++) {
      flight.forgotten = false;
      const served = await this.#obtain(grant, identity, old, begun, beginning === 0 ? early : undefined);
      this.#requireUnchanged(grant, begun);
      if (flight.forgotten) continue;
      this.#memory.hold(grant, served.token, flight.asked);
      this.#scopeSets.hold(grant, served.token.expiresAt);
      return served;
    }
    throw new PosternError('temporarily_unavailable', 'The token is being issued, try again', { retryAfter: 1 });
  }

  async #obtain(grant: AuthorizedGrant, identity: Identity, old: Token | undefined, begun: number, early?: EarlyReading): Promise<Served> {
    const read = () => traced('store read', () => this.#options.store.read(grant, identity.token, identity.forwardedFor));
    const giveUp = this.#monotonic() + this.#leaseMs;
    let stored = this.#unrevoked(early ? (await early)(grant) : await read(), grant);
    const first = stored.version;
    for (;;) {
      const now = this.#now();
      const storeNow = this.#storeNow();
      const patient = this.#monotonic() < giveUp;
      if (
        stored.token !== undefined &&
        this.#servable.includes(stored.token, grant.tenant) &&
        (old === undefined || stored.token.expiresAt > old.expiresAt)
      ) {
        const genuine = await this.#isGenuine(grant, stored.token);
        // Ended or revoked while it was being verified.
        if (genuine && this.#servable.includes(stored.token, grant.tenant)) return { token: stored.token, from: 'store', grant };
        stored = { ...stored, token: undefined };
      }
      if (stored.lease !== undefined && isPause(stored.lease, storeNow)) {
        throw new PosternError('temporarily_unavailable', 'The token issuer is not available', {
          retryAfter: Math.ceil((stored.lease.until - storeNow) / 1000),
        });
      }
      const free = isFree(stored.lease, this.#holder, storeNow, !patient && stored.version === first);
      this.#requireUnchanged(grant, begun);
      if (free) this.#requireFaultless(grant);
      // Before anything is written: who may have no more may well go on asking.
      if (free) this.#fresh.admit(grant);
      if (free) {
        this.#scopeSets.take(grant, now / 1000, (now + this.#leaseMs) / 1000);
        const { token: left, version: seen } = stored;
        const version = await traced('lease', () => this.#lease(grant, left, seen));
        if (version !== undefined) {
          if (stored.lease !== undefined)
            this.#options.onWork?.({
              kind: 'lease',
              grant,
              from: stored.lease.holder,
              to: this.#holder,
              why: whyFree(stored.lease, stored.lease.holder === this.#holder, storeNow),
            });
          const token = await this.#issue(grant, stored.token, version, begun, read);
          // Revoked while it was being stored: another replica served it already.
          if (!this.#servable.isRevoked(token, grant.tenant)) return { token, from: 'source', grant };
        }
      }
      if (!patient) throw new PosternError('temporarily_unavailable', 'The token is being issued, try again', { retryAfter: 1 });
      await this.#clock.sleep((free ? POLL_AFTER_CONFLICT : POLL) * (0.5 + this.#clock.random()));
      stored = this.#unrevoked(await read(), grant);
    }
  }

  /** A revoked token in the store is as good as none, and is not written back. */
  #unrevoked(stored: StoredToken, { tenant }: AuthorizedGrant): StoredToken {
    return stored.token !== undefined && this.#servable.isRevoked(stored.token, tenant) ? { ...stored, token: undefined } : stored;
  }

  async #isGenuine(grant: AuthorizedGrant, token: Token): Promise<boolean> {
    const { isGenuine, onForgery } = this.#options;
    if (isGenuine === undefined || (await traced('token check', () => isGenuine(grant, token)))) return true;
    onForgery?.(grant, token, (token.issuedAt - CLOCK_TOLERANCE) * 1000 > Math.max(this.#storeNow(), this.#servable.now(token)));
    return false;
  }

  #lease(grant: AuthorizedGrant, left: Token | undefined, version: number): Promise<number | undefined> {
    const lease = { holder: this.#holder, until: this.#storeNow() + this.#leaseMs, paused: false };
    return this.#options.store.write(grant, left, lease, version);
  }

  async #issue(
    grant: AuthorizedGrant,
    stored: Token | undefined,
    version: number,
    begun: number,
    read: () => Promise<StoredToken>,
  ): Promise<Token> {
    const held = new HeldLease({
      write: (known) => this.#lease(grant, stored, known),
      version,
      leaseMs: this.#leaseMs,
      clock: this.#clock,
    });
    try {
      const token = await traced('source', () => this.#fresh.issue(grant), { 'postern.source': grant.source });
      const known = await held.end();
      // After the last wait, and before anything of it lies where a Vault Agent or another replica finds it.
      this.#requireUnchanged(grant, begun);
      await traced('store write', () => this.#place(grant, token, known, begun, read));
      return token;
    } catch (error) {
      const known = await held.end();
      const pause = this.#pauseFor(grant, error);
      const lease = pause === undefined ? undefined : { holder: this.#holder, until: this.#storeNow() + pause * 1000, paused: true };
      await this.#options.store.write(grant, this.#leftBy(error, grant, stored, begun), lease, known).catch(() => {});
      throw error;
    }
  }

  /** Never throws: the token at hand is good wherever it lies. */
  async #place(grant: AuthorizedGrant, token: Token, version: number, begun: number, read: () => Promise<StoredToken>): Promise<void> {
    try {
      if ((await this.#options.store.write(grant, token, undefined, version)) !== undefined) return;
      // The lease may have run out and another replica be first: then its token lies there, and ours is as good. Or it is our own
      // extension of the lease, whose reply was lost.
      const found = await read();
      if (found.lease?.holder !== this.#holder || this.#options.generations?.since(grant.tenant, begun)) return;
      await this.#options.store.write(grant, token, undefined, found.version);
    } catch (error) {
      this.#options.onRefreshError?.(grant, error);
      void this.#placeLater(grant, token, version, begun);
    }
  }

  /** Whoever waits for it at another replica would else ask the source once more when the lease ends. Never throws. */
  async #placeLater(grant: AuthorizedGrant, token: Token, version: number, begun: number): Promise<void> {
    for (let left = PLACE_AGAIN_TIMES; left > 0; left--) {
      await this.#clock.sleep(PLACE_AGAIN * (0.5 + this.#clock.random()), { idle: true });
      const obsolete = this.#options.generations?.since(grant.tenant, begun) === true || this.#servable.isRevoked(token, grant.tenant);
      if (obsolete) return;
      try {
        await this.#options.store.write(grant, token, undefined, version);
        return;
      } catch {
        // Vault is still away.
      }
    }
  }

  /** @returns what may lie in the store after an attempt that failed */
  #leftBy(error: unknown, { tenant }: AuthorizedGrant, stored: Token | undefined, begun: number): Token | undefined {
    if (error instanceof Changed) return undefined;
    if (!(error instanceof Untimely)) return stored;
    return this.#options.generations?.since(tenant, begun) === true ? undefined : error.token;
  }

  /**
   * A source that names a pause is left alone by all replicas until then; else the next may try at once. A spent quota is no pause: an
   * operator may give more at any time. Nor is a fault of this machine, or Vault's quota that one replica has met: it alone pauses.
   * @returns seconds
   */
  #pauseFor({ key }: AuthorizedGrant, error: unknown): number | undefined {
    if (!(error instanceof PosternError) || error.retryAfter === undefined || error.code === 'too_many_requests') return undefined;
    const { here, unasked, retryAfter } = error;
    if (!here && unasked === undefined) return Math.min(retryAfter, LONGEST_PAUSE / 1000);
    // Where Vault doesn't answer its breaker says so, to all.
    if (here || unasked === 'throttled')
      this.#faults.set(key, { until: this.#monotonic() + Math.min(retryAfter * 1000, LONGEST_PAUSE_HERE), error });
    return undefined;
  }
}

function whyFree({ paused, until }: { paused: boolean; until: number }, ours: boolean, now: number): Handover['why'] {
  if (ours && !paused) return 'left_over';
  if (paused) return 'pause_over';
  return until > now ? 'unchanged' : 'ended';
}
