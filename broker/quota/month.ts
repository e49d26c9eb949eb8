/** A calendar month by UTC, as Auth0 counts: `2026-11`. */
export const MONTH = /^\d{4}-(0[1-9]|1[0-2])$/;

/** @param now ms since 1970 */
export function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
}

/** Its first moment and that of the next, ms since 1970. */
export function spanOf(month: string): { readonly from: number; readonly to: number } {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return { from: Date.UTC(year, number - 1), to: Date.UTC(year, number) };
}

/** @returns seconds to its end, at least 1 */
export function secondsToEndOf(month: string, now: number): number {
  return Math.max(1, Math.ceil((spanOf(month).to - now) / 1000));
}

/** Of a month less is too little to go by, ms. */
const SHORTEST = 86_400_000;

/**
 * What a month comes to if it goes on as it went so far.
 * @param used in it
 * @returns undefined in its first day, of which nothing can be told
 */
export function forecastOf(month: string, used: number, now: number): number | undefined {
  const { from, to } = spanOf(month);
  if (now >= to) return used;
  const gone = now - from;
  return gone < SHORTEST ? undefined : Math.round((used * (to - from)) / gone);
}
