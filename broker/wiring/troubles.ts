import type { Logger } from '#broker/log.ts';

/** A trouble that stays away for so long is over, where nobody says so; ms. */
const OVER = 60_000;
/** One that lasts is told again after so long, ms. */
const AGAIN = 600_000;

interface Trouble {
  readonly since: number;
  told: number;
  last: number;
  times: number;
}

/** Tells once that something has begun to fail, and once that it works again: what is tried each second has no line each second. */
export class Troubles {
  readonly #log: Pick<Logger, 'warn' | 'debug'>;
  readonly #now: () => number;
  /** By what is told of them, which is ours: few. */
  readonly #known = new Map<string, Trouble>();

  constructor(log: Pick<Logger, 'warn' | 'debug'>, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** @param message what can't be done now, as a sentence */
  fails(message: string, err: unknown): void {
    const now = this.#now();
    const known = this.#known.get(message);
    const goesOn = known !== undefined && now - known.last < OVER;
    const trouble = goesOn ? known : { since: now, told: -Infinity, last: now, times: 0 };
    trouble.last = now;
    trouble.times++;
    this.#known.set(message, trouble);
    if (now - trouble.told < AGAIN) return this.#log.debug({ err }, message);
    trouble.told = now;
    this.#log.warn({ err, ...(trouble.times > 1 ? { times: trouble.times, seconds: seconds(now - trouble.since) } : {}) }, message);
  }

  works(message: string): void {
    const trouble = this.#known.get(message);
    if (trouble === undefined) return;
    this.#known.delete(message);
    this.#log.warn({ times: trouble.times, seconds: seconds(this.#now() - trouble.since) }, `over: ${message}`);
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
