import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';

export interface UnseenOptions {
  /** Attempts that Vault is asked about at once. Default 64, as many as there are sockets to it. */
  atOnce?: number;
  /** Wrong ones a minute after which networks that sent some must wait. Default 3000. */
  perMinute?: number;
  /** Attempts that may wait for their turn. Default 2000. */
  queue?: number;
  /** Longest wait for a turn, ms. Default 4000. */
  patienceMs?: number;
  /** ms of a clock that never goes back. */
  now?: (() => number) | undefined;
}

interface Waiting {
  readonly since: number;
  readonly begin: (mayRun: boolean) => void;
}

/** How long a network is suspected after a wrong credential, ms. */
const SUSPICION = 60_000;

/**
 * One budget for all credentials that this process has not seen to be right, whoever sends them: so many at once, and of wrong ones so
 * many a minute. Who sent no wrong one lately goes first and is never refused for what others sent, so that a flood of guesses from
 * everywhere neither drowns Vault nor keeps a good customer's first exchange out.
 */
export class Unseen {
  readonly #atOnce: number;
  readonly #perMinute: number;
  readonly #queue: number;
  readonly #patienceMs: number;
  readonly #now: () => number;
  /** By network: when it last sent a wrong one. */
  readonly #suspects = new BoundedMap<string, number>(50_000);
  readonly #clean: Waiting[] = [];
  readonly #suspected: Waiting[] = [];
  #running = 0;
  #left: number;
  #at: number;

  constructor(options: UnseenOptions = {}) {
    this.#atOnce = options.atOnce ?? 64;
    this.#perMinute = options.perMinute ?? 3000;
    this.#queue = options.queue ?? 2000;
    this.#patienceMs = options.patienceMs ?? 4000;
    this.#now = options.now ?? (() => performance.now());
    this.#left = this.#perMinute;
    this.#at = this.#now();
  }

  /**
   * @param network the widest that may be one party's
   * @param trusted the client was right from there before
   * @throws {PosternError} too_many_requests, temporarily_unavailable, both without running `attempt`
   */
  async run<T>(network: string, trusted: boolean, attempt: () => Promise<T>, wrong: (error: unknown) => boolean): Promise<T> {
    const suspect = !trusted && this.#isSuspect(network);
    if (suspect && this.#units() < 1)
      throw new PosternError('too_many_requests', 'Too many wrong credentials, try again later', { retryAfter: 1 });
    await this.#turn(suspect ? this.#suspected : this.#clean);
    try {
      return await attempt();
    } catch (error) {
      if (wrong(error)) {
        this.#left = Math.max(0, this.#units() - 1);
        this.#suspects.set(network, this.#now());
      }
      throw error;
    } finally {
      this.#running--;
      this.#next();
    }
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

  async #turn(line: Waiting[]): Promise<void> {
    if (this.#running < this.#atOnce) {
      this.#running++;
      return;
    }
    if (line.length >= this.#queue) throw new PosternError('too_many_requests', 'Too many requests', { retryAfter: 1 });
    const mayRun = await new Promise<boolean>((begin) => line.push({ since: this.#now(), begin }));
    if (mayRun) return;
    throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
      detail: 'too many logins wait for Vault',
      retryAfter: 1,
    });
  }

  #next(): void {
    while (this.#running < this.#atOnce) {
      const waiting = this.#clean.shift() ?? this.#suspected.shift();
      if (waiting === undefined) return;
      const mayRun = this.#now() - waiting.since <= this.#patienceMs;
      if (mayRun) this.#running++;
      waiting.begin(mayRun);
    }
  }
}
