/** How a tenant's workloads behave. */
export const KINDS = ['caching', 'polling', 'gateway'] as const;
export type Kind = (typeof KINDS)[number];

export interface Mix {
  /** Parts of all tenants: their OAuth library keeps a token until it is nearly over. The rest are gateways. */
  readonly caching: number;
  /** A job that takes a new token at each run, and runs every {@link pollEvery} s; a fifth of them on the full five minutes. */
  readonly polling: number;
  readonly pollEvery: number;
  /** A key behind a gateway: so many requests a second in the mean, more at day than at night, and some in bursts. */
  readonly gatewayRate: number;
}

export const MIX: Mix = { caching: 0.6, polling: 0.3, pollEvery: 300, gatewayRate: 0.1 };

const DAY = 86_400;
/** A burst: for a minute, twice a day, ten times as much. */
const BURST = { seconds: 60, each: DAY / 2, times: 10 } as const;
/** Of the rates of gateways: the busiest tenth have four times the median. */
const SPREAD = 3;
const MEAN = Math.PI / SPREAD / Math.sin(Math.PI / SPREAD);
/** Jobs on the full five minutes have started within so many seconds. */
const TOGETHER = 10;
/** Processes that hold one tenant's token, each by itself. */
const PROCESSES = 2;
/** Seconds before a token's end from which on a library takes another: between these. */
const MARGIN = [10, 300] as const;

/** When each tenant's next request comes. */
export class Traffic {
  readonly kind: Uint8Array;
  /** Of gateways: requests a second in the mean. */
  readonly #rate: Float64Array;
  /** Of jobs: where in the interval; of gateways: when the day begins, s. */
  readonly #phase: Float64Array;
  readonly #mix: Mix;
  readonly #lifetime: number;
  readonly #random: () => number;

  /** @param lifetime of tokens, s */
  constructor(tenants: number, mix: Mix, lifetime: number, random: () => number) {
    this.#lifetime = lifetime;
    this.#mix = mix;
    this.#random = random;
    this.kind = new Uint8Array(tenants);
    this.#rate = new Float64Array(tenants);
    this.#phase = new Float64Array(tenants);
    for (let t = 0; t < tenants; t++) {
      const part = (t + 0.5) / tenants;
      this.kind[t] = part < mix.caching ? 0 : part < mix.caching + mix.polling ? 1 : 2;
      // Log-logistic of this mean, by its quantiles, so that each sample has the same: few are much larger than most.
      const quantile = (part - mix.caching - mix.polling) / (1 - mix.caching - mix.polling);
      this.#rate[t] = (mix.gatewayRate * (Math.max(0, quantile) / (1 - quantile)) ** (1 / SPREAD)) / MEAN;
      this.#phase[t] =
        this.kind[t] === 1 ? (random() < 0.2 ? random() * TOGETHER : random() * mix.pollEvery) : Math.floor(random() * 24) * 3600 * 0.35;
    }
  }

  /** @param start a full five minutes */
  first(t: number, start: number): number {
    if (this.kind[t] === 0) return start + this.#random() * this.#lifetime;
    return this.kind[t] === 1 ? start + (this.#phase[t] ?? 0) : this.#afterBreak(t, start);
  }

  /** @param ends when the token ends that this request was given, s */
  next(t: number, now: number, ends: number): number {
    if (this.kind[t] === 0) {
      const margin = MARGIN[0] + this.#random() * (MARGIN[1] - MARGIN[0]);
      // Each process comes for itself: together as if one came the more often.
      return now + Math.max(5, (ends - margin - now) / PROCESSES);
    }
    if (this.kind[t] === 1) return now + this.#mix.pollEvery + (this.#random() - 0.5) * 0.2;
    return this.#afterBreak(t, now);
  }

  #afterBreak(t: number, now: number): number {
    return now - Math.log(1 - this.#random()) / (this.#rate[t]! * this.#dayAt(t, now));
  }

  /** Over the mean: a sine from 0.2 at night to 1.8, and bursts. */
  #dayAt(t: number, now: number): number {
    const at = now + this.#phase[t]!;
    const burst = (at + t * 977) % BURST.each < BURST.seconds ? BURST.times : 1;
    return (1 - 0.8 * Math.cos((2 * Math.PI * at) / DAY)) * burst;
  }
}
