import { BoundedMap } from '#broker/bounded-map.ts';
import { forecastOf } from './month.ts';
import { totalsOf } from './report.ts';
import { levelOf } from './terms.ts';
import type { QuotaReading } from './terms.ts';
import { tokensOf } from './page.ts';
import type { QuotaPage } from './page.ts';

/** Something of a quota that people should know, once. */
export interface QuotaNotice {
  readonly month: string;
  /** Whose: the whole application's budget, a tenant's cap, or what Auth0 itself says of the application or of a tenant's organization. */
  readonly of: 'application' | 'tenant' | 'issuer' | 'organization';
  readonly tenant?: string | undefined;
  readonly period?: QuotaReading['period'] | undefined;
  /** `forecast`: it would be more at the month's end. */
  readonly level: 'warning' | 'spent' | 'forecast';
  readonly used: number;
  readonly budget: number;
  readonly forecast?: number | undefined;
}

export interface QuotaWatchOptions {
  /** Of the application, in a month; null: nobody has said. */
  budget: number | null;
  now: () => number;
  onNotice: (notice: QuotaNotice) => void;
}

/** Tenants whose caps are watched, of those that were last asked for. */
const MAX_TENANTS = 100_000;
/** Notices that are not told again. */
const MAX_TOLD = 10_000;

/** Tells once a month, and once a window of Auth0's, that a quota is nearly or wholly used. */
export class QuotaWatch {
  readonly #options: QuotaWatchOptions;
  readonly #caps = new BoundedMap<string, number>(MAX_TENANTS);
  readonly #told = new BoundedMap<string, true>(MAX_TOLD);
  #levels = { warning: 0, spent: 0 };

  constructor(options: QuotaWatchOptions) {
    this.#options = options;
  }

  /** Tenants near or at their caps, of those that this replica has asked for. */
  get levels(): { readonly warning: number; readonly spent: number } {
    return this.#levels;
  }

  /** @param cap Infinity: none */
  cap(tenant: string, cap: number): void {
    if (cap === Infinity) this.#caps.delete(tenant);
    else this.#caps.set(tenant, cap);
  }

  /** @param pages of this month, by all replicas */
  look(month: string, pages: readonly QuotaPage[]): void {
    let used = 0;
    for (const page of pages) for (const { fetched } of totalsOf(page).values()) used += fetched;
    const byCapped = this.#caps.size === 0 ? new Map<string, number>() : this.#usedByCapped(pages);
    const { budget, now } = this.#options;
    if (budget !== null) {
      this.#tell({ month, of: 'application', used, budget });
      const forecast = forecastOf(month, used, now());
      if (forecast !== undefined && forecast > budget)
        this.#notice({ month, of: 'application', level: 'forecast', used, budget, forecast });
    }
    const levels = { warning: 0, spent: 0 };
    for (const tenant of this.#caps.keys()) {
      const cap = this.#caps.peek(tenant) ?? Infinity;
      const level = this.#tell({ month, of: 'tenant', tenant, used: byCapped.get(tenant) ?? 0, budget: cap });
      if (level === 'warning' || level === 'spent') levels[level]++;
    }
    this.#levels = levels;
  }

  /** A tenant may stand in two pages, as in the month of an upgrade. */
  #usedByCapped(pages: readonly QuotaPage[]): ReadonlyMap<string, number> {
    const used = new Map<string, number>();
    for (const { fetched } of pages)
      for (const tenant of Object.keys(fetched))
        if (this.#caps.has(tenant)) used.set(tenant, (used.get(tenant) ?? 0) + tokensOf(fetched, tenant));
    return used;
  }

  /** What Auth0 said. */
  heard(
    month: string,
    of: 'issuer' | 'organization',
    tenant: string | undefined,
    { period, quota, remaining, resets_at }: QuotaReading,
  ): void {
    this.#tell({ month, of, tenant, period, used: quota - remaining, budget: quota }, String(Math.round(resets_at / 600_000)));
  }

  #tell(notice: Omit<QuotaNotice, 'level'>, window = ''): ReturnType<typeof levelOf> {
    const level = levelOf(notice.used, notice.budget);
    if (level === 'warning' || level === 'spent') this.#notice({ ...notice, level }, window);
    return level;
  }

  #notice(notice: QuotaNotice, window = ''): void {
    const { month, of, tenant = '', period = '', level, budget } = notice;
    const key = JSON.stringify([month, of, tenant, period, level, budget, window]);
    if (this.#told.has(key)) return;
    this.#told.set(key, true);
    this.#options.onNotice(notice);
  }
}
