import type { HttpResponseHeadersUtils } from 'auth0';
import type { QuotaOf } from '#broker/quota/meter.ts';
import type { QuotaReading } from '#broker/quota/terms.ts';

/** As Auth0 names them, and as it named them before. */
const NAMES: readonly (readonly [of: QuotaOf, now: string, before: string])[] = [
  ['client', 'auth0-client-quota-limit', 'x-quota-client-limit'],
  ['organization', 'auth0-organization-quota-limit', 'x-quota-organization-limit'],
];

type Parser = (of: typeof HttpResponseHeadersUtils, headers: Headers) => ReturnType<typeof HttpResponseHeadersUtils.getClientQuotaLimit>;
const PARSERS: Readonly<Record<QuotaOf, Parser>> = {
  client: (auth0, headers) => auth0.getClientQuotaLimit(headers),
  organization: (auth0, headers) => auth0.getOrganizationQuotaLimit(headers),
};

export function tellsOfQuota(headers: Headers): boolean {
  return NAMES.some(([, now, before]) => headers.has(now) || headers.has(before));
}

/** Whether a 429 is about the organization's own quota, and the shared application's isn't spent. */
export function isOfOrganization(headers: Headers | undefined): boolean {
  const isSpent = ([, now, before]: (typeof NAMES)[number]): boolean =>
    /(?:^|[;,\s])r=0(?=$|[;,\s])/.test(headers?.get(now) ?? headers?.get(before) ?? '');
  return NAMES.every((one) => isSpent(one) === (one[0] === 'organization'));
}

/**
 * What Auth0 says of its token quotas (Early Access), by the `auth0` package's own parser. That package is large, and loaded only where
 * such a header comes.
 * @param nowMs ms since 1970
 */
export async function readQuota(
  headers: Headers,
  nowMs: number,
): Promise<{ readonly of: QuotaOf; readonly readings: readonly QuotaReading[] }[]> {
  const { HttpResponseHeadersUtils: utilities } = await import('auth0');
  return NAMES.flatMap(([of, now, before]) => {
    const text = headers.get(now) ?? headers.get(before);
    if (text === null) return [];
    const bucket = PARSERS[of](utilities, new Headers({ [now]: text }));
    const { perHour, perDay } = bucket ?? {};
    const readings = [...readingOf('per_hour', perHour, nowMs), ...readingOf('per_day', perDay, nowMs)];
    return readings.length === 0 ? [] : [{ of, readings }];
  });
}

/** What isn't whole numbers is nothing to go by. */
function readingOf(
  period: QuotaReading['period'],
  told: { readonly quota: number; readonly remaining: number; readonly resetAfter: number } | undefined,
  nowMs: number,
): QuotaReading[] {
  if (told === undefined) return [];
  const { quota, remaining, resetAfter } = told;
  if (![quota, remaining, resetAfter].every((one) => Number.isSafeInteger(one) && one >= 0) || remaining > quota) return [];
  const most = period === 'per_hour' ? 3_600 : 86_400;
  const read_at = Math.round(nowMs);
  return [{ period, quota, remaining, resets_at: read_at + Math.min(resetAfter, most) * 1000, read_at }];
}
