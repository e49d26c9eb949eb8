import type { Lease } from './store.ts';

/**
 * Whether a replica may take what another has leased.
 * @param holder who asks: one of its own is left over, since Vault carried its write out though the reply was lost
 * @param now by the store's clock, ms since 1970
 * @param unchanged whether it hasn't changed for its whole time by this replica's clock: it is over, whatever its holder's clock says
 */
export function isFree(lease: Lease | undefined, holder: string, now: number, unchanged: boolean): boolean {
  return lease === undefined || lease.holder === holder || lease.until <= now || unchanged;
}
