import type { Readiness } from '#broker/http/health.ts';

/** What is wrong now, each a list in an operator's words; empty: nothing. */
export interface Shortcomings {
  /** What it needed to begin with, and may lose again without harm to those that it knows. */
  readonly lacking: () => readonly string[];
  /** Why it can serve nobody new though other replicas may, or nobody at all. */
  readonly shutOut: () => readonly string[];
  /** Why no replica can serve anybody new. */
  readonly degraded: () => readonly string[];
  /** What an operator must know though it serves. */
  readonly warnings: () => readonly string[];
}

/** From start to end: what a broker still lacks, and whether it is shutting down. */
export class Progress implements Readiness {
  draining = false;
  readonly #of: Shortcomings;
  #wasReady = false;

  constructor(of: Shortcomings) {
    this.#of = of;
  }

  /** From here on it is not ready, for good. */
  drain(): void {
    this.draining = true;
  }

  /** What is missing now. */
  lacks(): readonly string[] {
    return [...this.#of.lacking(), ...(this.draining ? ['shutting down'] : [])];
  }

  degraded(): readonly string[] {
    return this.#of.degraded();
  }

  warnings(): readonly string[] {
    return this.#of.warnings();
  }

  /** For the readiness probe: once ready, only the end or what hits this replica alone makes it unready (see healthRoutes). */
  missing(): readonly string[] {
    if (this.draining) return ['shutting down'];
    if (this.#wasReady) return this.#of.shutOut();
    const now = this.lacks();
    this.#wasReady = now.length === 0;
    return now;
  }
}
