import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where the broker's rooms take time and chance from, so that a simulation can have both in its hand (`make simulate`). */
export interface Clock {
  /** The wall clock, for what is compared with somebody else's time stamps: ends of tokens, leases, documents. ms since 1970. */
  readonly now: () => number;
  /**
   * Measures ages and pauses of this process's own: a wall clock that is set back would make everything look fresh. ms from anywhere,
   * never going back.
   */
  readonly monotonic: () => number;
  /** Whoever is `idle` doesn't keep the process from ending. Rejects when the signal says so. @param ms how long */
  readonly sleep: (ms: number, options?: { readonly signal?: AbortSignal; readonly idle?: boolean }) => Promise<void>;
  /**
   * Does it once, later, and behind what has arrived by then; nothing that a process would wait for at its end.
   * @returns takes it back
   */
  readonly after: (ms: number, work: () => void) => () => void;
  /** 0 to 1, for spreading what many do at once. Never for a secret. */
  readonly random: () => number;
  /** Names a process among others. */
  readonly uuid: () => string;
}

/** Any part of it; the rest is the real one. Where only `now` is given, as in tests, that one measures ages too. */
export type Clocks = { readonly [part in keyof Clock]?: Clock[part] | undefined };

const real: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, { signal, idle } = {}) => {
    await sleep(ms, undefined, { ref: idle !== true, ...(signal === undefined ? {} : { signal }) });
  },
  after: (ms, work) => {
    let reading: NodeJS.Immediate | undefined;
    // A loop that was busy comes to its timers before it reads: whose answer lies there already isn't late.
    const timer = setTimeout(() => (reading = setImmediate(work).unref()), ms).unref();
    return () => {
      clearTimeout(timer);
      clearImmediate(reading);
    };
  },
  random: () => Math.random(),
  uuid: () => randomUUID(),
};

export function clockOf(given: Clocks): Clock {
  return {
    now: given.now ?? real.now,
    monotonic: monotonicOf(given),
    sleep: given.sleep ?? real.sleep,
    after: given.after ?? real.after,
    random: given.random ?? real.random,
    uuid: given.uuid ?? real.uuid,
  };
}

/** @returns ms of a clock that never goes back, for ages and pauses */
export function monotonicOf({ now, monotonic }: Clocks): () => number {
  return monotonic ?? now ?? real.monotonic;
}
