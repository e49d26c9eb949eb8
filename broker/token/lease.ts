import type { Lease } from './store.ts';

/** Longer than a source may name, ms; a spent quota lasts to the month's end, or until an operator gives more. */
export const LONGEST_PAUSE = 3_600_000;
/** By so much may the clock of who wrote it be ahead, ms. */
const AHEAD = 60_000;

/**
 * Whether the source is to be left alone. A pause longer than any broker writes is none: a wrong clock, or whoever else wrote it, would
 * refuse the tenant for as long as it likes.
 * @param now by the store's clock, ms since 1970
 */
export function isPause(lease: Lease, now: number): boolean {
  return lease.paused && lease.until > now && lease.until <= now + LONGEST_PAUSE + AHEAD;
}

/**
 * Whether a replica may take what another has leased.
 * @param holder who asks: one of its own is left over, since Vault carried its write out though the reply was lost
 * @param now by the store's clock, ms since 1970
 * @param unchanged whether it hasn't changed for its whole time by this replica's clock: it is over, whatever its holder's clock says
 */
export function isFree(lease: Lease | undefined, holder: string, now: number, unchanged: boolean): boolean {
  if (lease?.paused === true && !isPause(lease, now)) return true;
  return lease === undefined || lease.holder === holder || lease.until <= now || unchanged;
}
