import { forecastOf } from './month.ts';
import { levelOf } from './terms.ts';
import type { QuotaPage, Tally } from './page.ts';
import type { Level, QuotaReading, QuotaTerms } from './terms.ts';

/** Tokens, and what they would have been had each customer an application of its own at Auth0. */
export interface Tokens {
  /** Fetched from Auth0. */
  readonly fetched: number;
  /** That clients got at the token endpoint: to Auth0 itself each of these requests is a token. Never less than `fetched`. */
  readonly one_application_each: number;
}

export interface TenantTokens extends Tokens {
  readonly tenant: string;
  readonly apis: readonly (Tokens & { readonly api: string })[];
}

/** How much of something that is limited is used. */
export interface Budget {
  readonly used: number;
  readonly budget: number | null;
  readonly left: number | null;
  /** At the month's end, if it goes on like this; null in the month's first day. */
  readonly forecast: number | null;
  readonly level: Level | null;
}

export interface QuotaReport {
  readonly month: string;
  readonly application: Budget & Tokens;
  /** What Auth0 said last and still holds. */
  readonly issuer: readonly QuotaReading[];
  readonly apis: readonly (Tokens & { readonly api: string })[];
  /** Those with most first. */
  readonly tenants: readonly TenantTokens[];
}

/** @param now ms since 1970 */
export function reportOf(month: string, pages: readonly QuotaPage[], terms: QuotaTerms, now: number): QuotaReport {
  const tenants = tenantsOf(pages).sort((a, b) => b.fetched - a.fetched || (a.tenant < b.tenant ? -1 : 1));
  const apis = new Map<string, Tokens>();
  for (const { api, ...tokens } of tenants.flatMap((one) => one.apis)) apis.set(api, sumOf([apis.get(api) ?? NONE, tokens]));
  const all = sumOf(tenants);
  const issuer = terms.issuer.filter(({ resets_at }) => resets_at > now);
  return {
    month,
    application: { ...applicationOf(month, all.fetched, terms.budget, issuer, now), ...all },
    issuer,
    apis: [...apis].map(([api, tokens]) => ({ api, ...tokens })).sort((a, b) => b.fetched - a.fetched),
    tenants,
  };
}

/**
 * The same without tenants, for what is asked for often: what a page comes to is kept as long as the page. Of a tenant that stands in two
 * pages, as in the month of an upgrade, `one_application_each` may be a little more.
 */
export function summaryOf(
  month: string,
  pages: readonly QuotaPage[],
  terms: QuotaTerms,
  now: number,
): Pick<QuotaReport, 'application' | 'issuer' | 'apis'> {
  const apis = new Map<string, Tokens>();
  for (const page of pages) for (const [api, tokens] of totalsOf(page)) apis.set(api, sumOf([apis.get(api) ?? NONE, tokens]));
  const all = sumOf([...apis.values()]);
  const issuer = terms.issuer.filter(({ resets_at }) => resets_at > now);
  return {
    application: { ...applicationOf(month, all.fetched, terms.budget, issuer, now), ...all },
    issuer,
    apis: [...apis].map(([api, tokens]) => ({ api, ...tokens })).sort((a, b) => b.fetched - a.fetched),
  };
}

const totals = new WeakMap<QuotaPage, ReadonlyMap<string, Tokens>>();

/** By API. */
export function totalsOf(page: QuotaPage): ReadonlyMap<string, Tokens> {
  const known = totals.get(page);
  if (known !== undefined) return known;
  const apis = new Map<string, { fetched: number; one_application_each: number }>();
  const add = (api: string, fetched: number, each: number): void => {
    const sum = apis.get(api);
    if (sum === undefined) apis.set(api, { fetched, one_application_each: each });
    else {
      sum.fetched += fetched;
      sum.one_application_each += each;
    }
  };
  for (const [tenant, of] of Object.entries(page.fetched))
    for (const [api, count] of Object.entries(of)) add(api, count, Math.max(count, countOf(page.exchanged, tenant, api) ?? 0));
  for (const [tenant, of] of Object.entries(page.exchanged))
    for (const [api, count] of Object.entries(of)) if (countOf(page.fetched, tenant, api) === undefined) add(api, 0, count);
  totals.set(page, apis);
  return apis;
}

function countOf(tally: Tally, tenant: string, api: string): number | undefined {
  const apis = Object.hasOwn(tally, tenant) ? tally[tenant] : undefined;
  return apis !== undefined && Object.hasOwn(apis, api) ? apis[api] : undefined;
}

/** @param cap tokens a month; Infinity: as many as it likes */
export function budgetOf(month: string, used: number, cap: number, now: number): Budget {
  const budget = cap === Infinity ? null : cap;
  return {
    used,
    budget,
    left: budget === null ? null : Math.max(0, budget - used),
    forecast: forecastOf(month, used, now) ?? null,
    level: levelOf(used, budget),
  };
}

/** Auth0 is believed over our count: it has seen what else the application fetched, and what it leaves is what is left. */
function applicationOf(month: string, counted: number, budget: number | null, issuer: readonly QuotaReading[], now: number): Budget {
  const used = Math.max(counted, ...issuer.map(({ quota, remaining }) => quota - remaining));
  const ours = budgetOf(month, used, budget ?? Infinity, now);
  const lefts = issuer.map(({ remaining }) => remaining);
  const left = ours.left === null && lefts.length === 0 ? null : Math.min(ours.left ?? Infinity, ...lefts);
  const levels = [ours.level, ...issuer.map(({ quota, remaining }) => levelOf(quota - remaining, quota))];
  const level = LEVELS.find((one) => levels.includes(one)) ?? null;
  return { ...ours, left, level };
}

/** The worst first. */
const LEVELS: readonly Level[] = ['spent', 'warning', 'ok'];
const NONE: Tokens = { fetched: 0, one_application_each: 0 };

/** A tenant may stand in two pages: versions before this one had fewer. */
function tenantsOf(pages: readonly QuotaPage[]): TenantTokens[] {
  const tallies = new Map<string, Map<string, { count: number; exchanges: number }>>();
  const add = (tally: Tally, of: 'count' | 'exchanges'): void => {
    for (const [tenant, apis] of Object.entries(tally)) {
      let known = tallies.get(tenant);
      if (known === undefined) tallies.set(tenant, (known = new Map()));
      for (const [api, by] of Object.entries(apis)) {
        let tokens = known.get(api);
        if (tokens === undefined) known.set(api, (tokens = { count: 0, exchanges: 0 }));
        tokens[of] += by;
      }
    }
  };
  for (const { fetched } of pages) add(fetched, 'count');
  for (const { exchanged } of pages) add(exchanged, 'exchanges');
  return [...tallies].map(([tenant, known]) => {
    const apis = [...known].map(([api, { count, exchanges }]) => ({
      api,
      fetched: count,
      one_application_each: Math.max(count, exchanges),
    }));
    return { tenant, apis, ...sumOf(apis) };
  });
}

function sumOf(all: readonly Tokens[]): Tokens {
  return all.reduce(
    (sum, one) => ({
      fetched: sum.fetched + one.fetched,
      one_application_each: sum.one_application_each + one.one_application_each,
    }),
    NONE,
  );
}
