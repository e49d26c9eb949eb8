import { setTimeout as sleep } from 'node:timers/promises';
import type { Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';
import { isFull } from '#broker/vault-fault.ts';
import { LedgerPage } from './ledger-page.ts';
import type { Counted, Meter } from './meter.ts';
import { monthOf, secondsToEndOf, spanOf } from './month.ts';
import { formerPageOf, pageOf } from './page.ts';
import type { QuotaPage, QuotaStore } from './page.ts';
import { totalsOf } from './report.ts';

export interface LedgerOptions extends Clocks {
  store: QuotaStore;
  /** Tokens that the grant's tenant may have in a month; Infinity: as many as it likes. Default: that. */
  capOf?: (grant: AuthorizedGrant) => number;
  /** Between two writings of what nobody waits for, ms. Default 5,000. */
  flushMs?: number;
  /** Between two looks at what the other replicas counted, ms; longer where that is much. Default 60,000. */
  refreshMs?: number;
  /** Between two writings of what clients exchanged, ms; longer where the ledger is large. Default 300,000. */
  exchangedMs?: number;
  /** How long a token waits at most until it is written that it is counted, ms. Default 1,000. */
  patienceMs?: number;
  onError?: (error: unknown) => void;
  /** After each look at what the others counted. */
  onLook?: () => void;
  /** Told at the end where some of what was counted could not be written. @param tokens of these, asked of an issuer */
  onUnwritten?: (tokens: number) => void;
}

/** Defaults. */
export const FLUSH_MS = 5_000;
export const REFRESH_MS = 60_000;
/** What a replica reads of the ledger a second in the long run: a million tenants would else be 70 MB a minute for each. */
const ENTRIES_A_SECOND = 2_500;

/** The same of what it writes of exchanges, each of which every replica writes into every page. */
const EXCHANGES_A_SECOND = 300;

/** @param entries tenants in the pages, in each tally for itself @returns ms from one writing of exchanges to the next */
export function restBetweenExchanges(entries: number, exchangedMs: number): number {
  return Math.max(exchangedMs, (entries / EXCHANGES_A_SECOND) * 1_000);
}

/** @param entries tenants in the pages, in each tally for itself @returns ms from one look to the next */
export function restBetweenLooks(entries: number, refreshMs: number = REFRESH_MS): number {
  return Math.max(refreshMs, (entries / ENTRIES_A_SECOND) * 1_000);
}

/** For so long after a month's end its pages are kept, ms: what was asked of an issuer before it may be taken back. */
const KEPT = 600_000;
/** After a failed write nobody waits for the next ones for so long, ms. */
const AWAY = 5_000;
/** Pages that are written at once. */
const WIDTH = 8;
/** Pages that are read at once in a look: nobody waits for it, and replicas that start together must not take all of Vault for it. */
const LOOK_WIDTH = 2;
/** Tenants and APIs whose exchanges are counted between two writings. */
const MAX_EXCHANGED = 200_000;

/**
 * Counts every token that is asked of an issuer, before it is asked for, by tenant, API and month, over all replicas and restarts. What is
 * in Vault is never less than what the issuer made; it is more by those that were on their way when a process was killed.
 */
export class QuotaLedger implements Meter {
  readonly #options: LedgerOptions;
  readonly #now: () => number;
  /** By month and name. */
  readonly #pages = new Map<string, LedgerPage>();
  /** By API and tenant, not yet handed to a page. APIs are few: a map for each of 100,000 tenants takes 20 MB. */
  #exchanged = new Map<string, Map<string, number>>();
  #exchangedKinds = 0;
  /** In which those were exchanged. */
  #exchangedIn = { month: '', from: Infinity, to: -Infinity };
  #awayUntil = -Infinity;
  readonly #stopping = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();
  #firstLook: Promise<void> = Promise.resolve();
  /** At the last look. */
  #entries = 0;
  /** When the others' counts were last read, ms since 1970. */
  lookedAt: number | undefined;
  /** Tokens refused since a tenant had all that it may have. */
  refused = 0;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get month(): string {
    return monthOf(this.#now());
  }

  admit(grant: AuthorizedGrant): void {
    const cap = this.#capOf(grant);
    if (cap === Infinity) return;
    const { month } = this;
    const { tenant } = grant;
    if (this.#page(month, pageOf(tenant)).fetchedBy(tenant) + this.#formerly(month, tenant) >= cap) throw this.#spent(month, grant, cap);
  }

  async count(grant: AuthorizedGrant): Promise<Counted> {
    const { tenant, api } = grant;
    const cap = this.#capOf(grant);
    // It may end while the page is read, and is that of the refusal all the same.
    const { month } = this;
    const page = this.#page(month, pageOf(tenant));
    const patience = performance.now() < this.#awayUntil ? 0 : (this.#options.patienceMs ?? 1_000);
    if (cap !== Infinity && formerPageOf(tenant) !== undefined && this.lookedAt === undefined)
      await Promise.race([this.#firstLook, sleep(patience, undefined, { ref: false })]);
    if (!(await page.reserve(tenant, api, cap - this.#formerly(month, tenant), patience))) throw this.#spent(month, grant, cap);
    let isTakenBack = false;
    return {
      takeBack(): void {
        if (!isTakenBack) page.add('fetched', tenant, api, -1);
        isTakenBack = true;
      },
    };
  }

  /** A client got one of these tokens where it would otherwise have asked the issuer itself. */
  exchanged({ tenant, api }: Pick<AuthorizedGrant, 'tenant' | 'api'>): void {
    const now = this.#now();
    if (now < this.#exchangedIn.from || now >= this.#exchangedIn.to) {
      this.#handOver();
      const month = monthOf(now);
      this.#exchangedIn = { month, ...spanOf(month) };
    }
    const tenants = this.#exchanged.get(api);
    const count = tenants?.get(tenant);
    if (count === undefined && this.#exchangedKinds++ >= MAX_EXCHANGED) return;
    if (tenants === undefined) this.#exchanged.set(api, new Map([[tenant, 1]]));
    else tenants.set(tenant, (count ?? 0) + 1);
  }

  /** What this month has by now: as last read, with what was counted here since. */
  pages(): readonly QuotaPage[] {
    const { month } = this;
    return [...this.#pages].filter(([key]) => key.startsWith(month)).map(([, page]) => page.content);
  }

  /** Tokens that are counted in this memory only. */
  get unwritten(): number {
    return [...this.#pages.values()].reduce((sum, page) => sum + page.unwrittenTokens, 0);
  }

  start(): void {
    const { flushMs = FLUSH_MS, refreshMs, exchangedMs = 300_000 } = this.#options;
    this.#firstLook = this.look();
    this.#loops = Promise.all([
      this.#repeat(
        () => flushMs,
        () => this.flush(),
      ),
      this.#repeat(
        () => restBetweenExchanges(this.#entries, exchangedMs),
        () => this.#handOver(),
      ),
      this.#firstLook.then(() =>
        this.#repeat(
          () => restBetweenLooks(this.#entries, refreshMs),
          () => this.look(),
        ),
      ),
    ]);
  }

  /** Writes what is left, as far as `patienceMs` allows, whatever Vault was being asked. Never throws. */
  async stop(patienceMs = 3_000): Promise<void> {
    this.#stopping.abort();
    this.#handOver();
    await Promise.race([Promise.all([this.flush(), this.#loops]), sleep(patienceMs, undefined, { ref: false })]);
    if ([...this.#pages.values()].some(({ hasUnwritten }) => hasUnwritten)) this.#options.onUnwritten?.(this.unwritten);
  }

  /** Never throws: what could not be written is tried again next time. */
  async flush(): Promise<void> {
    const due = [...this.#pages].filter(([, page]) => page.hasUnwritten);
    await this.#each(due, ([, page]) => page.flush());
    const kept = monthOf(this.#now() - KEPT);
    for (const [key, page] of this.#pages)
      if (!key.startsWith(this.month) && !key.startsWith(kept) && !page.hasUnwritten) this.#pages.delete(key);
  }

  /** Reads what all replicas have counted this month. Never throws. */
  async look(): Promise<void> {
    const { month } = this;
    try {
      const names = await this.#options.store.pages(month);
      const whole = await this.#each(
        names,
        async (name) => {
          this.#stopping.signal.throwIfAborted();
          const page = this.#page(month, name);
          await page.refresh();
          // Page by page: all at once would keep everybody waiting who asks for a token meanwhile.
          totalsOf(page.content);
        },
        LOOK_WIDTH,
      );
      if (whole) this.lookedAt = this.#now();
      this.#entries = names.reduce((sum, name) => sum + this.#page(month, name).entries, 0);
      this.#options.onLook?.();
    } catch (error) {
      this.#options.onError?.(error);
    }
  }

  #handOver(): void {
    const exchanged = this.#exchanged;
    this.#exchanged = new Map();
    this.#exchangedKinds = 0;
    const { month } = this.#exchangedIn;
    for (const [api, tenants] of exchanged)
      for (const [tenant, count] of tenants) this.#page(month, pageOf(tenant)).add('exchanged', tenant, api, count);
  }

  #capOf(grant: AuthorizedGrant): number {
    return this.#options.capOf?.(grant) ?? Infinity;
  }

  #spent(month: string, { tenant }: AuthorizedGrant, cap: number): PosternError {
    this.refused++;
    return new PosternError(
      'too_many_requests',
      `Client has used up its tokens of this month (${cap}); tokens that it was issued stay valid`,
      {
        detail: `${tenant} may have ${cap} new tokens of the issuer a month: see \`postern quota\``,
        retryAfter: secondsToEndOf(month, this.#now()),
      },
    );
  }

  /** Tokens that versions with fewer pages counted elsewhere. */
  #formerly(month: string, tenant: string): number {
    const name = formerPageOf(tenant);
    return name === undefined ? 0 : (this.#pages.get(`${month}/${name}`)?.fetchedBy(tenant) ?? 0);
  }

  #page(month: string, name: string): LedgerPage {
    const key = `${month}/${name}`;
    let page = this.#pages.get(key);
    if (page === undefined) this.#pages.set(key, (page = new LedgerPage(this.#storeTold, month, name)));
    return page;
  }

  /** Tells of what fails, and has nobody wait for what doesn't answer. */
  get #storeTold(): QuotaStore {
    const { store, onError } = this.#options;
    const told = async <T>(work: Promise<T>): Promise<T> => {
      try {
        const result = await work;
        this.#awayUntil = -Infinity;
        return result;
      } catch (error) {
        // One page that has no room keeps nobody of another page from waiting for theirs.
        if (!isFull(error)) this.#awayUntil = performance.now() + AWAY;
        onError?.(error);
        throw error;
      }
    };
    return {
      read: (month, page) => told(store.read(month, page)),
      write: (month, page, content, version) => told(store.write(month, page, content, version)),
      pages: (month) => store.pages(month),
    };
  }

  /** @returns whether none failed; it was told */
  async #each<T>(all: readonly T[], work: (one: T) => Promise<void>, width: number = WIDTH): Promise<boolean> {
    const left = all.values();
    let whole = true;
    const worker = async (): Promise<void> => {
      for (const one of left) await work(one).catch(() => (whole = false));
    };
    await Promise.all(Array.from({ length: width }, worker));
    return whole;
  }

  async #repeat(everyMs: () => number, work: () => void | Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // Apart from each other, so that replicas don't write all at once.
      await sleep(everyMs() * (0.75 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await work();
    }
  }
}
