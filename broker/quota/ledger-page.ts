import { randomBytes } from 'node:crypto';
import { Batch, EMPTY, tokensOf, withBatches } from './page.ts';
import type { Change, Count, QuotaPage, QuotaStore } from './page.ts';

/** A token that somebody wants to fetch. */
interface Reservation {
  readonly tenant: string;
  readonly api: string;
  /** Tokens that the tenant may have in the month. */
  readonly cap: number;
  /** Told whether it may be fetched. */
  readonly decide: (may: boolean) => void;
  /** Who wanted it has not waited for the answer, and fetches it or doesn't. */
  left: 'begun' | 'refused' | undefined;
}

/** Each lost race means that another replica wrote. */
const ATTEMPTS = 20;
/** Batches whose writes got no answer; of more the oldest are put together. Fewer than a page remembers. */
const IN_DOUBT = 16;

const newBatch = (): Batch => new Batch(randomBytes(6).toString('base64url'));

/**
 * One page as this replica knows it, and what it has yet to write there. One write at a time: whoever comes while it is under way goes
 * together into the next one. A batch whose write got no answer is kept until a later reading tells whether it counts.
 */
export class LedgerPage {
  readonly #store: QuotaStore;
  readonly #month: string;
  readonly #name: string;
  #page: QuotaPage = EMPTY;
  /** Undefined: it has to be read first. */
  #version: number | undefined;
  #inDoubt: Batch[] = [];
  /** On its way. */
  #writing = newBatch();
  /** Counted, and not yet on its way. */
  #open = newBatch();
  #reservations: Reservation[] = [];
  #next: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(store: QuotaStore, month: string, name: string) {
    this.#store = store;
    this.#month = month;
    this.#name = name;
  }

  /** As it stands when all that is known here is written. */
  get content(): QuotaPage {
    // A copy of a large page takes milliseconds.
    return this.#unwritten.some(({ changes }) => changes.length > 0) ? withBatches(this.#page, this.#unwritten) : this.#page;
  }

  /** Tokens of this tenant, as {@link content} has them. */
  fetchedBy(tenant: string): number {
    const more = this.#unwritten.flatMap(({ changes }) => changes).filter((one) => one.of === 'fetched' && one.tenant === tenant);
    return more.reduce((sum, { by }) => sum + by, tokensOf(this.#page.fetched, tenant));
  }

  /** Tenants in it as it was read last, in each tally for itself. */
  get entries(): number {
    return Object.keys(this.#page.fetched).length + Object.keys(this.#page.exchanged).length;
  }

  /** Tokens that are counted in this memory only. */
  get unwrittenTokens(): number {
    return Math.max(
      0,
      this.#unwritten.reduce((sum, { fetched }) => sum + fetched, 0),
    );
  }

  get hasUnwritten(): boolean {
    return this.#reservations.length > 0 || this.#unwritten.some(({ changes }) => changes.length > 0);
  }

  /** Counts it in memory; {@link flush} writes it. */
  add(of: Count, tenant: string, api: string, by: number): void {
    this.#open.changes.push({ of, tenant, api, by });
  }

  /**
   * Counts a token and waits until that is written, or could not be.
   * @param patienceMs after so long it is judged by what is known here, and written later
   * @returns whether the tenant may have it
   */
  reserve(tenant: string, api: string, cap: number, patienceMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const reservation: Reservation = { tenant, api, cap, decide: resolve, left: undefined };
    this.#reservations.push(reservation);
    const timer = setTimeout(() => {
      const may = this.fetchedBy(tenant) < cap;
      reservation.left = may ? 'begun' : 'refused';
      resolve(may);
    }, patienceMs);
    this.flush().catch(() => {});
    return promise.finally(() => clearTimeout(timer));
  }

  /** After it, all that was counted before is in Vault. @throws {VaultFault} */
  flush(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#running = this.#write();
        return this.#running;
      });
    return this.#next;
  }

  /** Learns what the others have written. @throws {VaultFault} */
  refresh(): Promise<void> {
    this.#version = undefined;
    return this.flush();
  }

  get #unwritten(): readonly Batch[] {
    return [...this.#inDoubt, this.#writing, this.#open];
  }

  async #read(): Promise<number> {
    const { page, version } = await this.#store.read(this.#month, this.#name);
    this.#page = page;
    this.#version = version;
    this.#inDoubt = this.#inDoubt.filter(({ id }) => !page.writes.includes(id));
    return version;
  }

  async #write(): Promise<void> {
    const waiting = this.#reservations.filter(({ left }) => left !== 'refused');
    this.#reservations = [];
    const carried = this.#open.changes.splice(0);
    this.#writing.changes.push(...carried);
    let refused: ReadonlySet<Reservation> = new Set();
    let sent = false;
    try {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        const version = this.#version ?? (await this.#read());
        // What has lost a race is surely not there: it is made anew.
        this.#writing = newBatch();
        refused = this.#judge(waiting, carried);
        const batches = [...this.#inDoubt, this.#writing].filter(({ changes }) => changes.length > 0);
        if (batches.length === 0) return;
        const content = withBatches(this.#page, batches);
        this.#version = undefined;
        sent = true;
        const written = await this.#store.write(this.#month, this.#name, content, version);
        sent = false;
        if (written === undefined) continue;
        this.#page = content;
        this.#version = written;
        this.#inDoubt = [];
        this.#writing = newBatch();
        return;
      }
    } catch (error) {
      // Nobody is refused a token since it can't be written.
      if (!sent) refused = this.#judge(waiting, carried);
      throw error;
    } finally {
      if (sent) this.#doubt(this.#writing);
      else this.#open.changes.unshift(...this.#writing.changes);
      this.#writing = newBatch();
      for (const one of waiting) this.#settle(one, !refused.has(one));
    }
  }

  /** What is on its way: what was counted before, and those that may be fetched by what is known now. @returns the others */
  #judge(waiting: readonly Reservation[], carried: readonly Change[]): ReadonlySet<Reservation> {
    this.#writing.changes.splice(0, Infinity, ...carried);
    const known = withBatches(this.#page, [...this.#inDoubt, this.#writing]).fetched;
    const taken = new Map<string, number>();
    const refused = waiting.filter(({ tenant, api, cap, left }) => {
      const tokens = taken.get(tenant) ?? tokensOf(known, tenant);
      if (tokens >= cap && left !== 'begun') return true;
      taken.set(tenant, tokens + 1);
      this.#writing.changes.push({ of: 'fetched', tenant, api, by: 1 });
      return false;
    });
    return new Set(refused);
  }

  #settle({ decide, left, tenant, api }: Reservation, counted: boolean): void {
    decide(counted);
    // Who didn't wait may have decided otherwise.
    if (left === 'begun' && !counted) this.add('fetched', tenant, api, 1);
    if (left === 'refused' && counted) this.add('fetched', tenant, api, -1);
  }

  #doubt(batch: Batch): void {
    this.#inDoubt.push(batch);
    if (this.#inDoubt.length <= IN_DOUBT) return;
    const merged = newBatch();
    merged.changes.push(...this.#inDoubt.flatMap(({ changes }) => changes));
    this.#inDoubt = [merged];
  }
}
