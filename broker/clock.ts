/**
 * Two clocks. `now` is the wall clock, for what is compared with somebody else's time stamps: ends of tokens, leases, documents.
 * `monotonic` measures ages and pauses of this process's own: a wall clock that is set back would make everything look fresh.
 */
export interface Clocks {
  /** ms since 1970. Default Date.now. */
  now?: () => number;
  /** ms from anywhere, never going back. Default performance.now; where only `now` is given, as in tests, that one. */
  monotonic?: () => number;
}

/** @returns ms of a clock that never goes back, for ages and pauses */
export function monotonicOf({ now, monotonic }: Clocks): () => number {
  return monotonic ?? now ?? (() => performance.now());
}
