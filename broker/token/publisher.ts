import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Generations } from '#broker/credential/generations.ts';
import { PosternError } from '#broker/error.ts';
import type { Leadership } from './leadership.ts';
import { Pace } from './pace.ts';
import type { Publication, PublicationStore, Published } from './publications.ts';
import type { Token } from './token.ts';
import type { Publishing } from './work.ts';

export interface PublisherOptions extends Clocks {
  store: PublicationStore;
  leadership: Pick<Leadership, 'seek' | 'held' | 'giveUp'>;
  /** @throws {PosternError} where the tenant is disabled, or may not have this API */
  authorize: (publication: Publication, api: string) => Promise<AuthorizedGrant>;
  /** Asks nobody. @throws {PosternError} where the source would surely refuse. Default: it never would. */
  admit?: (grant: AuthorizedGrant) => void;
  /** @throws {PosternError} what the source says */
  issue: (grant: AuthorizedGrant) => Promise<Token>;
  generations: Pick<Generations, 'now' | 'since'>;
  isRevoked: (published: Published, tenant: string) => boolean;
  /** Whether a token that was issued a while ago may still be handed out. */
  isServable: (token: Token, tenant: string) => boolean;
  /** The time by which a token ends, ms since 1970. Default: `now`. */
  nowOf?: (published: Published) => number;
  /** Whether the issuer behind a source counts its tokens: it is asked at a pace. Default: none does. */
  isMetered?: (source: string) => boolean;
  /** So long before a token ends the next one is there, or half its life where that is less. Seconds. */
  lead: number;
  /** @param tenant undefined: nothing can be published at all */
  onError: (tenant: string | undefined, error: unknown) => void;
  onWork?: (work: Publishing) => void;
}

/** Who is marked, and when that was looked up. */
interface Listed {
  readonly at: number;
  readonly generation: number;
  readonly tenants: readonly string[];
}

/** Between two rounds, ms. */
const ROUND = 1_000;
/** Between two looks at all publications and whether their documents are as they were left, ms: who marks a tenant announces it. */
const LOOK = 300_000;
/** After an announcement operators clear what is cached, twice: for so long it is looked whether a document is still there, ms. */
const WATCHED = 10_000;
/** After a failure, ms, unless the source names a longer pause; twice that after the next one at the same place, and so on. */
const PAUSE = 5_000;
/** Longest of these, ms: far less than a lead, so that what was mended is noticed in time. */
const LONGEST_PAUSE = 180_000;
/** Longest that a source may name, ms. */
const LONGEST_NAMED = 3_600_000;
/** So much of a pause, and of a lead, is left to chance: what failed or was issued at once is not due at once. */
const SPREAD = 0.2;
/** After a fault of this machine, ms: others publish meanwhile. */
const ASIDE = 60_000;
/** Tenants that are worked on at once. */
const WIDTH = 8;
/** How long the end of the process waits for what is being written, ms: a write has its own deadline. */
const LAST_ROUND = 2_000;
/** And for the lease to be given back, ms: else it ends by itself. */
const LAST_WORD = 1_000;

/** What failed, and when it is tried again. */
interface Failure {
  /** In a row, as far as it was the place's own. */
  readonly times: number;
  /** By the monotonic clock, ms. */
  readonly until: number;
  /** The tenant has used up its own quota, which is no fault. */
  readonly spent: boolean;
}

interface Entry {
  /** Granted now, by API. */
  grants: ReadonlyMap<string, AuthorizedGrant>;
  readonly published: Map<string, Published>;
  /** Generation at which the grants were read. */
  begun: number;
  /** By the monotonic clock, ms. */
  watchedUntil: number;
  lookedAt: number;
  /** By API: issued, and maybe paid for, and not written yet. */
  readonly unwritten: Map<string, { readonly digest: string; readonly token: Token }>;
  /** By API, and for the tenant as a whole. */
  readonly failures: Map<string | undefined, Failure>;
}

/**
 * Keeps a fresh token of each marked tenant where its Vault Agent reads it, though nobody asks. Of all replicas the one that has the lease
 * does; what it can't finish another does. It never reads a token.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #monotonic: () => number;
  readonly #pace: Pace;
  readonly #entries = new Map<string, Entry>();
  #listed: Listed | undefined;
  /** Whether what is listed has its entries, which only the replica that publishes has. */
  #adopted = false;
  /** Until when the others publish, by the monotonic clock: this machine can't. */
  #asideUntil = -Infinity;
  /** Whether the last round could do nothing. */
  #isBlocked = false;
  /** The first tenant that had no turn in this round: the next one begins with it. */
  #heldBack: string | undefined;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#clock = clockOf(options);
    this.#monotonic = this.#clock.monotonic;
    this.#pace = new Pace({ isMetered: options.isMetered ?? (() => false), monotonic: this.#monotonic });
  }

  /** Places whose last attempt failed, by the replica that publishes; 1 at least where none can be looked at. */
  get failing(): number {
    let failing = 0;
    for (const { failures } of this.#entries.values()) for (const { spent } of failures.values()) if (!spent) failing++;
    return this.#isBlocked ? Math.max(1, failing) : failing;
  }

  /** In an operator's words. */
  get warnings(): readonly string[] {
    const { failing } = this;
    return failing === 0 ? [] : [`published tokens: ${failing} could not be put where Vault Agents read them; those that lie there end`];
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Another replica goes on at once, or when the lease has ended: it isn't waited for longer than some 3 s. What was issued and couldn't be
   * written is forgotten. Never throws.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#atMost(LAST_ROUND, this.#running);
    await this.#atMost(LAST_WORD, this.#options.leadership.giveUp());
    this.#entries.clear();
  }

  async #atMost(ms: number, work: Promise<void> | undefined): Promise<void> {
    const done = new AbortController();
    await Promise.race([work, this.#clock.sleep(ms, { signal: done.signal }).catch(() => {})]);
    done.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.round();
        this.#isBlocked = false;
      } catch (error) {
        if (signal.aborted) return;
        this.#isBlocked = true;
        this.#options.onError(undefined, error);
      }
      await this.#clock.sleep(ROUND, { signal, idle: true }).catch(() => {});
    }
  }

  /** One look at everything that is due. @throws {PosternError} temporarily_unavailable */
  async round(): Promise<void> {
    const { leadership, generations } = this.#options;
    if (this.#monotonic() < this.#asideUntil) return;
    const generation = generations.now;
    const listed = this.#listed;
    const isOld = listed === undefined || listed.generation !== generation || this.#monotonic() - listed.at > LOOK;
    const { tenants } = isOld ? await this.#list(generation) : listed;
    if (isOld) this.#adopted = false;
    // Where nobody is marked no replica asks Vault each second who publishes.
    if (tenants.length === 0 && this.#entries.size === 0) return;
    // It was given up by now.
    if (this.#stopping.signal.aborted) return;
    if (!(await leadership.seek())) {
      this.#entries.clear();
      this.#adopted = false;
      return;
    }
    if (!this.#adopted) {
      const fresh = tenants.filter((tenant) => !this.#entries.has(tenant));
      const whole = await this.#each(fresh, async (tenant) => void this.#entries.set(tenant, await this.#found(tenant)));
      if (!whole) return;
      this.#adopted = true;
    }
    await this.#each(this.#inTurn(), (tenant) => this.#tend(tenant));
    if (this.#monotonic() < this.#asideUntil) await this.#standAside();
  }

  /** Whoever had no turn in the round before comes first: those before it may fail for ever. */
  #inTurn(): Iterable<string> {
    if (this.#heldBack === undefined) return this.#entries.keys();
    const all = [...this.#entries.keys()];
    const first = Math.max(0, all.indexOf(this.#heldBack));
    this.#heldBack = undefined;
    return [...all.slice(first), ...all.slice(0, first)];
  }

  async #standAside(): Promise<void> {
    this.#entries.clear();
    this.#adopted = false;
    await this.#options.leadership.giveUp('fault');
  }

  /**
   * Several at once. With many tenants that takes longer than a lease lasts: it is extended by the way.
   * @returns whether none is left, since neither the lease was lost nor the broker is stopping
   */
  async #each(tenants: Iterable<string>, work: (tenant: string) => Promise<void>): Promise<boolean> {
    const left = tenants[Symbol.iterator]();
    let whole = true;
    const worker = async (): Promise<void> => {
      for (let next = left.next(); next.done !== true; next = left.next()) {
        if (this.#stopping.signal.aborted || !(await this.#options.leadership.seek())) {
          whole = false;
          return;
        }
        await work(next.value);
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, worker));
    return whole;
  }

  async #list(generation: number): Promise<Listed> {
    const at = this.#monotonic();
    this.#listed = { at, generation, tenants: await this.#options.store.tenants(this.#stopping.signal) };
    return this.#listed;
  }

  async #found(tenant: string): Promise<Entry> {
    const published = new Map(await this.#options.store.published(tenant));
    return {
      grants: new Map(),
      published,
      begun: -1,
      watchedUntil: 0,
      lookedAt: -Infinity,
      unwritten: new Map(),
      failures: new Map(),
    };
  }

  /** Never throws: what fails is tried again later, and keeps nothing else back. */
  async #tend(tenant: string): Promise<void> {
    const entry = this.#entries.get(tenant);
    if (entry === undefined) return;
    await this.#attempt(entry, tenant, undefined, async () => {
      const changed = entry.begun === -1 || this.#options.generations.since(tenant, entry.begun);
      if (changed || this.#monotonic() - entry.lookedAt > LOOK) await this.#readAnew(tenant, entry, changed);
      return true;
    });
    if (entry.begun === -1 || this.#options.generations.since(tenant, entry.begun)) return;
    for (const [api, grant] of entry.grants) await this.#attempt(entry, tenant, grant, () => this.#keep(grant, api, entry));
    if (entry.grants.size === 0 && entry.published.size === 0) this.#entries.delete(tenant);
  }

  /**
   * Unless it has failed just now.
   * @param grant undefined: of the tenant as a whole
   * @param work says whether it is done; else it had no turn
   */
  async #attempt(entry: Entry, tenant: string, grant: AuthorizedGrant | undefined, work: () => Promise<boolean>): Promise<void> {
    const begun = this.#monotonic();
    const api = grant?.api;
    if (begun < (entry.failures.get(api)?.until ?? 0)) return;
    try {
      if (await work()) entry.failures.delete(api);
    } catch (error) {
      entry.failures.set(api, this.#failureOf(error, grant, entry.failures.get(api)));
      if (error instanceof PosternError && error.here) this.#asideUntil = this.#monotonic() + ASIDE;
      this.#tell({ tenant, api, grant, outcome: 'failed', error }, begun);
      this.#options.onError(tenant, error);
    }
  }

  /** The tenant as a whole is tried at the same pace for ever: what must be taken away goes soon. So is what fails for all of a source. */
  #failureOf(error: unknown, grant: AuthorizedGrant | undefined, before: Failure | undefined): Failure {
    const own = grant !== undefined && !this.#pace.isAway(grant.source);
    const times = own ? (before?.times ?? 0) + 1 : 1;
    const named = error instanceof PosternError ? (error.retryAfter ?? 0) * 1_000 : 0;
    const pause = Math.max(Math.min(PAUSE * 2 ** (times - 1), LONGEST_PAUSE), Math.min(named, LONGEST_NAMED));
    return {
      times,
      until: this.#monotonic() + pause * (1 + SPREAD * this.#clock.random()),
      spent: error instanceof PosternError && error.code === 'too_many_requests',
    };
  }

  /** @param begun by the monotonic clock, ms */
  #tell(work: Omit<Publishing, 'kind' | 'ms'>, begun: number): void {
    this.#options.onWork?.({ kind: 'publication', ms: Math.max(0, this.#monotonic() - begun), ...work });
  }

  /** What may be published now, and what not any more. */
  async #readAnew(tenant: string, entry: Entry, changed: boolean): Promise<void> {
    const { store, generations, authorize } = this.#options;
    const begun = generations.now;
    // Whatever was announced, it may be about what these were issued for.
    if (changed) entry.unwritten.clear();
    const publication = await store.publication(tenant);
    const grants = new Map<string, AuthorizedGrant>();
    for (const api of publication?.apis ?? []) {
      try {
        grants.set(api, await authorize(publication as Publication, api));
      } catch (error) {
        if (!(error instanceof PosternError) || error.code === 'temporarily_unavailable') throw error;
        if (error.code === 'unauthorized_client') continue;
        this.#tell({ tenant, api, grant: undefined, outcome: 'failed', error }, this.#monotonic());
        this.#options.onError(tenant, error);
      }
    }
    entry.grants = grants;
    for (const api of entry.unwritten.keys()) if (!grants.has(api)) entry.unwritten.delete(api);
    for (const api of entry.published.keys()) if (!grants.has(api)) await this.#withdraw(tenant, api, entry);
    entry.begun = begun;
    entry.lookedAt = this.#monotonic();
    if (!changed) return;
    entry.watchedUntil = entry.lookedAt + WATCHED;
    // Somebody may have mended what failed.
    entry.failures.clear();
  }

  async #withdraw(tenant: string, api: string, { published }: Entry): Promise<void> {
    const { store } = this.#options;
    const begun = this.#monotonic();
    const sha256 = published.get(api)?.sha256;
    const version = await store.version(tenant, api);
    // Somebody who was faster has written or removed it: looked at again in the next round.
    if (version !== 0 && (await store.publish({ tenant, api, digest: published.get(api)?.grant ?? '' }, undefined, version)) === undefined)
      throw new PosternError('temporarily_unavailable', 'Somebody else writes there', { retryAfter: 1 });
    published.delete(api);
    this.#tell({ tenant, api, grant: undefined, outcome: 'withdrawn', ...(sha256 === undefined ? {} : { sha256 }) }, begun);
    await store.remember(tenant, published);
  }

  /** @returns whether it is done; else there was no turn for it, or others were faster */
  async #keep(grant: AuthorizedGrant, api: string, entry: Entry): Promise<boolean> {
    const { store, leadership, generations } = this.#options;
    const { tenant, digest } = grant;
    const known = entry.published.get(api);
    const good = known !== undefined && known.grant === digest && !this.#isDue(known, tenant);
    if (good && this.#monotonic() >= entry.watchedUntil) return true;
    if (good && (await store.version(tenant, api)) === known.version) return true;
    const begun = this.#monotonic();
    if (this.#unwritten(grant, entry) === undefined && !this.#mayAsk(grant)) return false;
    const version = await store.version(tenant, api);
    const token = this.#unwritten(grant, entry) ?? (await this.#issue(grant));
    // After the last wait: nothing may lie there that was ended meanwhile, and another replica may have taken over.
    if (generations.since(tenant, entry.begun) || !leadership.held) return false;
    // It may be paid for: whatever becomes of the write, it is this one that is written the next time.
    entry.unwritten.set(api, { digest, token });
    const written = await store.publish(grant, token, version);
    if (written === undefined) return false;
    entry.unwritten.delete(api);
    const { sha256, signedBy, issuedAt, expiresAt } = token;
    entry.published.set(api, { grant: digest, version: written, sha256, signedBy, issuedAt, expiresAt });
    this.#tell({ tenant, api, grant, outcome: 'published', token }, begun);
    await store.remember(tenant, entry.published);
    return true;
  }

  /** Issued before and not written, where it may still be. */
  #unwritten({ api, tenant, digest }: AuthorizedGrant, { unwritten }: Entry): Token | undefined {
    const found = unwritten.get(api);
    if (found === undefined) return undefined;
    if (found.digest === digest && this.#options.isServable(found.token, tenant)) return found.token;
    unwritten.delete(api);
    return undefined;
  }

  /** @throws {PosternError} where the source would surely refuse */
  #mayAsk(grant: AuthorizedGrant): boolean {
    this.#options.admit?.(grant);
    if (this.#pace.take(grant)) return true;
    this.#heldBack ??= grant.tenant;
    return false;
  }

  /** Only where it can be written: each may cost quota. */
  async #issue(grant: AuthorizedGrant): Promise<Token> {
    await this.#options.store.check(grant.tenant, grant.api);
    try {
      const token = await this.#options.issue(grant);
      this.#pace.heard(grant, undefined);
      return token;
    } catch (error) {
      this.#pace.heard(grant, error);
      throw error;
    }
  }

  #isDue(published: Published, tenant: string): boolean {
    const { issuedAt, expiresAt, sha256 } = published;
    const lead = Math.min(this.#options.lead, (expiresAt - issuedAt) / 2);
    // By the token itself: the same on each replica, and by chance.
    const early = lead * SPREAD * (Number.parseInt(sha256.slice(0, 8), 16) / 2 ** 32);
    return (
      (this.#options.nowOf ?? this.#clock.now)(published) >= (expiresAt - lead - early) * 1_000 ||
      this.#options.isRevoked(published, tenant)
    );
  }
}
