import { BoundedMap } from '#broker/bounded-map.ts';
import { fieldsOf } from './admission.ts';
import type { Admission, Left, Limiter } from './admission.ts';
import { PLACES } from './allowance.ts';
import type { Allowance, Window } from './allowance.ts';

/** How much of a window is used. It begins with the first request after the one before has ended. */
interface Count {
  /** ms */
  begunAt: number;
  used: number;
}

export interface LocalLimiterOptions {
  /** Most parties that are counted; the one that asked longest ago starts anew. Default 200,000. */
  readonly max?: number;
  /** ms of a clock that never goes back. Default performance.now. */
  readonly now?: () => number;
}

/** Counts in this process's memory: each replica for itself. */
export class LocalLimiter implements Limiter {
  /** By the allowance's id, so that a limit that changes goes on with what was used. */
  readonly #counts: BoundedMap<string, readonly Count[]>;
  readonly #now: () => number;

  constructor({ max = 200_000, now = () => performance.now() }: LocalLimiterOptions = {}) {
    this.#counts = new BoundedMap(max);
    this.#now = now;
  }

  admit(allowances: readonly Allowance[]): Admission {
    const now = this.#now();
    let exhausted: Admission['exhausted'];
    for (const allowance of allowances) {
      const counts = this.#countsOf(allowance);
      for (const window of allowance.every) begin(counts[window.place]!, window, now);
      for (const window of allowance.windows) {
        if (isFree(counts, window) || (overflows(window, allowance) && isFree(counts, allowance.burst))) continue;
        const seconds = secondsLeft(counts[window.place]!, window, now);
        if (exhausted === undefined || seconds > exhausted.seconds) exhausted = { window, seconds };
      }
    }
    const left: Left[] = [];
    for (const allowance of allowances) {
      const counts = this.#countsOf(allowance);
      if (exhausted === undefined) spend(counts, allowance);
      for (const window of allowance.every) {
        const count = counts[window.place]!;
        left.push({ window, remaining: Math.max(0, window.quota - count.used), seconds: secondsLeft(count, window, now) });
      }
    }
    return { exhausted, fields: fieldsOf(allowances, left) };
  }

  #countsOf({ id }: Allowance): readonly Count[] {
    let counts = this.#counts.get(id);
    if (counts === undefined) {
      counts = Array.from({ length: PLACES }, () => ({ begunAt: -Infinity, used: 0 }));
      this.#counts.set(id, counts);
    }
    return counts;
  }
}

function begin(count: Count, { seconds }: Window, now: number): void {
  if (now - count.begunAt < seconds * 1000) return;
  count.begunAt = now;
  count.used = 0;
}

function isFree(counts: readonly Count[], { place, quota }: Window): boolean {
  return counts[place]!.used < quota;
}

/** Whether what is too much for this window may count in the burst. */
function overflows(window: Window, allowance: Allowance): allowance is Allowance & { burst: Window } {
  return allowance.burst !== undefined && window.seconds === 1;
}

function spend(counts: readonly Count[], allowance: Allowance): void {
  for (const window of allowance.windows) {
    if (isFree(counts, window) || !overflows(window, allowance)) counts[window.place]!.used++;
    else counts[allowance.burst.place]!.used++;
  }
}

function secondsLeft({ begunAt }: Count, { seconds }: Window, now: number): number {
  // What has passed is taken off last: a sum of fractions of a ms would be a hair too long, and so a second.
  return Math.max(1, Math.ceil((seconds * 1000 - (now - begunAt)) / 1000));
}
