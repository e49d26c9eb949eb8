import { OPERATIONS } from './prices.ts';

export const COUNTED = ['requests', 'hits', 'verifications', 'from store', 'source calls', ...OPERATIONS] as const;
export type Counted = (typeof COUNTED)[number];

/** What happened, by spans of equal length; each thing simulated stands for as many as the sample is thinned by. */
export class Counters {
  /** The span that is being counted. */
  bucket = 0;
  readonly #weight: number;
  readonly #counts: Readonly<Record<Counted, Float64Array>>;

  constructor(buckets: number, weight: number) {
    this.#weight = weight;
    this.#counts = Object.fromEntries(COUNTED.map((name) => [name, new Float64Array(buckets)])) as unknown as Record<Counted, Float64Array>;
  }

  add(name: Counted, by: number): void {
    this.#counts[name][this.bucket]! += by * this.#weight;
  }

  of(name: Counted): Float64Array {
    return this.#counts[name];
  }

  sum(name: Counted): number {
    return this.of(name).reduce((all, one) => all + one, 0);
  }

  /** All of Vault's requests, by span. */
  vault(): Float64Array {
    return this.of('login').map((_, i) => OPERATIONS.reduce((all, name) => all + this.of(name)[i]!, 0));
  }
}
