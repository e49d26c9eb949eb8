import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';
import { Turnstile } from './turnstile.ts';
import type { TurnstileOptions } from './turnstile.ts';

export interface UnseenOptions extends TurnstileOptions {
  /** Wrong ones a minute after which networks that sent some must wait. Default 3000. */
  perMinute?: number;
}

/** How long a network is suspected after a wrong credential, ms. */
const SUSPICION = 60_000;
/** Lines, in the order of their turns. */
const [CLEAN, SUSPECTED] = [0, 1];

/**
 * One budget for all credentials that this process has not seen to be right, whoever sends them: so many at once, and of wrong ones so
 * many a minute. Who sent no wrong one lately goes first and is never refused for what others sent, so that a flood of guesses from
 * everywhere neither drowns Vault nor keeps a good customer's first exchange out.
 */
export class Unseen {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** By network: when it last sent a wrong one. */
  readonly #suspects = new BoundedMap<string, number>(50_000);
  readonly #turnstile: Turnstile;
  #left: number;
  #at: number;

  constructor(options: UnseenOptions = {}) {
    this.#perMinute = options.perMinute ?? 3000;
    this.#now = options.now ?? (() => performance.now());
    this.#turnstile = new Turnstile(options, 2);
    this.#left = this.#perMinute;
    this.#at = this.#now();
  }

  /**
   * @param network the widest that may be one party's
   * @param trusted the client was right from there before
   * @throws {PosternError} too_many_requests, `Overloaded`, both without running `attempt`
   */
  async run<T>(network: string, trusted: boolean, attempt: () => Promise<T>, wrong: (error: unknown) => boolean): Promise<T> {
    const suspect = !trusted && this.#isSuspect(network);
    if (suspect && this.#units() < 1)
      throw new PosternError('too_many_requests', 'Too many wrong credentials, try again later', { retryAfter: 1 });
    const noted = async (): Promise<T> => {
      try {
        return await attempt();
      } catch (error) {
        if (wrong(error)) {
          this.#left = Math.max(0, this.#units() - 1);
          this.#suspects.set(network, this.#now());
        }
        throw error;
      }
    };
    return this.#turnstile.run(network, noted, suspect ? SUSPECTED : CLEAN);
  }

  #isSuspect(network: string): boolean {
    const at = this.#suspects.get(network);
    return at !== undefined && this.#now() - at < SUSPICION;
  }

  #units(): number {
    const now = this.#now();
    this.#left = Math.min(this.#perMinute, this.#left + ((now - this.#at) * this.#perMinute) / 60_000);
    this.#at = now;
    return this.#left;
  }
}
