import type { Limits } from './limits.ts';

/** One window of one party's allowance. */
export interface Window {
  /** As RateLimit-Policy names it: `tenant-second`. */
  readonly name: string;
  /** Most requests in it. */
  readonly quota: number;
  readonly seconds: number;
  /** Which of a party's four it is, from 0. */
  readonly place: number;
}

/** How many windows one party can have. */
export const PLACES = 4;

/** How often one party, a tenant or an API key, may ask. */
export interface Allowance {
  /** Whose it is, for this process alone: unique, and never shown. */
  readonly id: string;
  readonly of: Party;
  /** All of them have to let a request through; it counts in each. */
  readonly windows: readonly Window[];
  /** What a request counts in where the window `<party>-second` is used up. */
  readonly burst: Window | undefined;
  /** The windows, and the burst after them. */
  readonly every: readonly Window[];
  /** Of the field RateLimit-Policy. */
  readonly policy: string;
}

export type Party = 'tenant' | 'key';

const SPANS = [
  ['per_second', 'second', 1],
  ['per_minute', 'minute', 60],
  ['per_day', 'day', 86_400],
] as const;
const BURST_SECONDS = 60;

/** @returns undefined where nothing is limited */
export function allowanceOf(of: Party, id: string, limits: Limits | null | undefined): Allowance | undefined {
  if (limits === null || limits === undefined) return undefined;
  const windows = SPANS.flatMap(([field, name, seconds], place) => {
    const quota = limits[field];
    return quota ? [{ name: `${of}-${name}`, quota, seconds, place }] : [];
  });
  if (windows.length === 0) return undefined;
  const burst = limits.burst ? { name: `${of}-burst`, quota: limits.burst, seconds: BURST_SECONDS, place: SPANS.length } : undefined;
  const every = burst === undefined ? windows : [...windows, burst];
  return { id: `${of}\0${id}`, of, windows, burst, every, policy: every.map(policyOf).join(', ') };
}

/** draft-ietf-httpapi-ratelimit-headers-10, a List of Items. */
function policyOf({ name, quota, seconds }: Window): string {
  return `"${name}";q=${quota};w=${seconds}`;
}
