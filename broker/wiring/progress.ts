import type { Readiness } from '#broker/http/health.ts';

/** From start to end: what a broker still lacks, and whether it is shutting down. */
export class Progress implements Readiness {
  draining = false;
  readonly #lacking: () => readonly string[];
  #wasReady = false;

  readonly #warning: () => readonly string[];

  /**
   * @param lacking what is missing now, in an operator's words
   * @param warning what an operator must know though it serves
   */
  constructor(lacking: () => readonly string[], warning: () => readonly string[] = () => []) {
    this.#lacking = lacking;
    this.#warning = warning;
  }

  /** From here on it is not ready, for good. */
  drain(): void {
    this.draining = true;
  }

  /** What is missing now. */
  lacks(): readonly string[] {
    return [...this.#lacking(), ...(this.draining ? ['shutting down'] : [])];
  }

  warnings(): readonly string[] {
    return this.#warning();
  }

  /** For the readiness probe: once ready, only the end makes it unready (see healthRoutes). */
  missing(): readonly string[] {
    if (this.draining) return ['shutting down'];
    if (this.#wasReady) return [];
    const now = this.lacks();
    this.#wasReady = now.length === 0;
    return now;
  }
}
