import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Generations } from '#broker/credential/generations.ts';
import { PosternError } from '#broker/error.ts';
import type { Leadership } from './leadership.ts';
import type { Publication, PublicationStore, Published } from './publications.ts';
import type { Token } from './token.ts';
import type { Publishing } from './work.ts';

export interface PublisherOptions extends Clocks {
  store: PublicationStore;
  leadership: Pick<Leadership, 'seek' | 'held' | 'giveUp'>;
  /** @throws {PosternError} where the tenant is disabled, or may not have this API */
  authorize: (publication: Publication, api: string) => Promise<AuthorizedGrant>;
  /** @throws {PosternError} what the source says */
  issue: (grant: AuthorizedGrant) => Promise<Token>;
  generations: Pick<Generations, 'now' | 'since'>;
  isRevoked: (published: Published, tenant: string) => boolean;
  /** So long before a token ends the next one is there, or half its life where that is less. Seconds. */
  lead: number;
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
/** After a failure, ms, unless the source names a longer pause. */
const PAUSE = 5_000;
/** After a fault of this machine, ms: others publish meanwhile. */
const ASIDE = 60_000;
/** Tenants that are worked on at once. */
const WIDTH = 8;

interface Entry {
  /** Granted now, by API. */
  grants: ReadonlyMap<string, AuthorizedGrant>;
  readonly published: Map<string, Published>;
  /** Generation at which the grants were read. */
  begun: number;
  /** By the monotonic clock, ms. */
  watchedUntil: number;
  lookedAt: number;
  /** By API, and for the tenant as a whole; by the monotonic clock, ms. */
  readonly notBefore: Map<string | undefined, number>;
}

/**
 * Keeps a fresh token of each marked tenant where its Vault Agent reads it, though nobody asks. Of all replicas the one that has the lease
 * does; what it can't finish another does. It never reads a token.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #entries = new Map<string, Entry>();
  #listed: Listed | undefined;
  /** Whether what is listed has its entries, which only the replica that publishes has. */
  #adopted = false;
  /** Until when the others publish, by the monotonic clock: this machine can't. */
  #asideUntil = -Infinity;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Another replica goes on at once. Never throws. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#options.leadership.giveUp();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.round().catch((error: unknown) => this.#options.onError(undefined, error));
      await sleep(ROUND, undefined, { signal, ref: false }).catch(() => {});
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
    await this.#each(this.#entries.keys(), (tenant) => this.#tend(tenant));
    if (this.#monotonic() < this.#asideUntil) await this.#standAside();
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
    this.#listed = { at, generation, tenants: await this.#options.store.tenants() };
    return this.#listed;
  }

  async #found(tenant: string): Promise<Entry> {
    const published = new Map(await this.#options.store.published(tenant));
    return { grants: new Map(), published, begun: -1, watchedUntil: 0, lookedAt: -Infinity, notBefore: new Map() };
  }

  /** Never throws: what fails is tried again later, and keeps nothing else back. */
  async #tend(tenant: string): Promise<void> {
    const entry = this.#entries.get(tenant);
    if (entry === undefined) return;
    await this.#attempt(entry, tenant, undefined, async () => {
      const changed = entry.begun === -1 || this.#options.generations.since(tenant, entry.begun);
      if (changed || this.#monotonic() - entry.lookedAt > LOOK) await this.#readAnew(tenant, entry, changed);
    });
    if (entry.begun === -1 || this.#options.generations.since(tenant, entry.begun)) return;
    for (const [api, grant] of entry.grants) await this.#attempt(entry, tenant, grant, () => this.#keep(grant, api, entry));
    if (entry.grants.size === 0 && entry.published.size === 0) this.#entries.delete(tenant);
  }

  /** Unless it has failed just now. @param grant undefined: of the tenant as a whole */
  async #attempt(entry: Entry, tenant: string, grant: AuthorizedGrant | undefined, work: () => Promise<void>): Promise<void> {
    const begun = this.#monotonic();
    const api = grant?.api;
    if (begun < (entry.notBefore.get(api) ?? 0)) return;
    try {
      await work();
      entry.notBefore.delete(api);
    } catch (error) {
      const after = error instanceof PosternError && error.retryAfter !== undefined ? error.retryAfter * 1_000 : 0;
      entry.notBefore.set(api, this.#monotonic() + Math.max(PAUSE, after));
      if (error instanceof PosternError && error.here) this.#asideUntil = this.#monotonic() + ASIDE;
      this.#tell({ tenant, api, grant, outcome: 'failed', error }, begun);
      this.#options.onError(tenant, error);
    }
  }

  /** @param begun by the monotonic clock, ms */
  #tell(work: Omit<Publishing, 'kind' | 'ms'>, begun: number): void {
    this.#options.onWork?.({ kind: 'publication', ms: Math.max(0, this.#monotonic() - begun), ...work });
  }

  /** What may be published now, and what not any more. */
  async #readAnew(tenant: string, entry: Entry, changed: boolean): Promise<void> {
    const { store, generations, authorize } = this.#options;
    const begun = generations.now;
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
    for (const api of entry.published.keys()) if (!grants.has(api)) await this.#withdraw(tenant, api, entry);
    entry.begun = begun;
    entry.lookedAt = this.#monotonic();
    if (changed) entry.watchedUntil = entry.lookedAt + WATCHED;
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

  async #keep(grant: AuthorizedGrant, api: string, entry: Entry): Promise<void> {
    const { store, leadership, generations, issue } = this.#options;
    const { tenant } = grant;
    const known = entry.published.get(api);
    const good = known !== undefined && known.grant === grant.digest && !this.#isDue(known, tenant);
    const watched = this.#monotonic() < entry.watchedUntil;
    if (good && !watched) return;
    const version = await store.version(tenant, api);
    if (good && version === known.version) return;
    const begun = this.#monotonic();
    const token = await issue(grant);
    // After the last wait: nothing may lie there that was ended meanwhile, and another replica may have taken over.
    if (generations.since(tenant, entry.begun) || !leadership.held) return;
    const written = await store.publish(grant, token, version);
    if (written === undefined) return;
    const { sha256, signedBy, issuedAt, expiresAt } = token;
    entry.published.set(api, { grant: grant.digest, version: written, sha256, signedBy, issuedAt, expiresAt });
    this.#tell({ tenant, api, grant, outcome: 'published', token }, begun);
    await store.remember(tenant, entry.published);
  }

  #isDue(published: Published, tenant: string): boolean {
    const { issuedAt, expiresAt } = published;
    const lead = Math.min(this.#options.lead, (expiresAt - issuedAt) / 2);
    return this.#now() >= (expiresAt - lead) * 1_000 || this.#options.isRevoked(published, tenant);
  }
}
