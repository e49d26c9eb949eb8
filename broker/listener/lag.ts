import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface LagOptions {
  /** The lag that may stand, ms. 0: any. */
  waitMs: number;
  /** What measures it, ns. Default Node's own. */
  delays?: { readonly count: number; readonly min: number; reset(): void } | undefined;
}

/** Of the measurement, ms: it looks so often, and what it tells is that much too long. */
const RESOLUTION = 20;
/** ms. */
const WINDOW = 1_000;
/** Windows in a row that must have been late all through: garbage collection, a cold start or a frozen process never is. */
const STANDING = 3;

/**
 * Whether the event loop is behind all the time, as where connections or malformed requests alone are more than it can take. Then each
 * network has an equal share of what was served in the second before, and who asks for more is refused at the head of its request.
 */
export class Lag {
  readonly #waitMs: number;
  readonly #delays: NonNullable<LagOptions['delays']>;
  #timer: NodeJS.Timeout | undefined;
  #late = 0;
  #share = Infinity;
  /** Of this window, by network. */
  readonly #asked = new Map<string, number>();
  #served = 0;
  #shed = 0;

  constructor({ waitMs, delays }: LagOptions) {
    this.#waitMs = waitMs;
    this.#delays = delays ?? monitored();
  }

  /** Whether requests may have to be shed. */
  get stands(): boolean {
    return this.#late >= STANDING;
  }

  /** Only while it {@link stands}. */
  sheds(network: string): boolean {
    const asked = (this.#asked.get(network) ?? 0) + 1;
    this.#asked.set(network, asked);
    if (asked > this.#share) {
      this.#shed++;
      return true;
    }
    this.#served++;
    return false;
  }

  start(): void {
    if (this.#waitMs > 0) this.#timer = setInterval(() => this.look(), WINDOW).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** At the end of each window. */
  look(): void {
    // The least of all: one late look says little.
    const lag = this.#delays.count === 0 ? 0 : this.#delays.min / 1e6 - RESOLUTION;
    this.#delays.reset();
    const late = lag >= this.#waitMs;
    if (this.stands && (late || this.#shed > 0)) {
      const networks = Math.max(1, this.#asked.size);
      if (late && this.#served > 0) this.#share = Math.max(1, Math.floor((this.#served * this.#waitMs) / lag / networks));
      else if (!late) this.#share *= 2;
    } else {
      this.#late = late ? this.#late + 1 : 0;
      this.#share = Infinity;
    }
    this.#asked.clear();
    this.#served = this.#shed = 0;
  }
}

function monitored(): NonNullable<LagOptions['delays']> {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
  delays.enable();
  return delays;
}
