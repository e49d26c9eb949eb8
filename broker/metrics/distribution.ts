/** Upper bounds of the buckets, seconds: from a hit to what a client no longer waits for. */
export const BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** One observation that leads to a trace (OpenMetrics §Exemplars). `at`: seconds since 1970. */
export interface Exemplar {
  readonly traceId: string;
  readonly seconds: number;
  readonly at: number;
}

/** How long something took, in plain numbers: what is watched here is done fifty thousand times a second. */
export class Distribution {
  /** Those up to each bound and above the one before; last, those beyond all. */
  readonly counts = new Float64Array(BOUNDS.length + 1);
  /** Of each bucket the last that belongs to a recorded trace. */
  readonly exemplars: (Exemplar | undefined)[] = [];
  /** Seconds. */
  sum = 0;

  /** @param ms a negative one counts as none @param traceId of the recorded trace that it belongs to */
  observe(ms: number, traceId?: string): void {
    const seconds = ms > 0 ? ms / 1000 : 0;
    let at = 0;
    while (at < BOUNDS.length && seconds > BOUNDS[at]!) at++;
    this.counts[at]!++;
    this.sum += seconds;
    if (traceId !== undefined) this.exemplars[at] = { traceId, seconds, at: Date.now() / 1000 };
  }
}
