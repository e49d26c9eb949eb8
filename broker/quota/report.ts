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
  const tenants = pages.flatMap(tenantsOf).sort((a, b) => b.fetched - a.fetched || (a.tenant < b.tenant ? -1 : 1));
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

function tenantsOf({ fetched, exchanged }: QuotaPage): TenantTokens[] {
  const [of, asked] = [entriesOf(fetched), entriesOf(exchanged)];
  return [...new Set([...of.keys(), ...asked.keys()])].map((tenant) => {
    const counts = [new Map(Object.entries(of.get(tenant) ?? {})), new Map(Object.entries(asked.get(tenant) ?? {}))] as const;
    const apis = [...new Set(counts.flatMap((one) => [...one.keys()]))].map((api) => {
      const [count = 0, exchanges = 0] = counts.map((one) => one.get(api));
      return { api, fetched: count, one_application_each: Math.max(count, exchanges) };
    });
    return { tenant, apis, ...sumOf(apis) };
  });
}

const entriesOf = (tally: Tally): ReadonlyMap<string, Readonly<Record<string, number>>> => new Map(Object.entries(tally));

function sumOf(all: readonly Tokens[]): Tokens {
  return all.reduce(
    (sum, one) => ({
      fetched: sum.fetched + one.fetched,
      one_application_each: sum.one_application_each + one.one_application_each,
    }),
    NONE,
  );
}
