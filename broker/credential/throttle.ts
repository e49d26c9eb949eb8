import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';
import { networksOf } from '#broker/network.ts';
import { RecentMap } from '#broker/recent-map.ts';
import type { Unseen } from './unseen.ts';

export interface ThrottleOptions {
  /** Wrong credentials allowed in a row for one client_id from one address. Default 10. */
  perClient?: number;
  /**
   * Wrong credentials allowed in a row from one address or /64, whatever the client_id; a /56 has half as many more, a /48 twice. Default
   * 100.
   */
  perAddress?: number;
  /** Seconds until a used-up allowance is whole again. Default 60. */
  refillSeconds?: number;
  /** Attempts that may wait for others to be decided. Default 1000 for each address. */
  queue?: number;
  /** Longest wait in that queue, ms. Default 4000: behind a Vault that is frozen, a request must not wait for all before it to time out. */
  patienceMs?: number;
  /** What all share beyond their own allowances. Default: nothing. */
  unseen?: Unseen;
  /** ms of a clock that never goes back. Default performance.now. */
  now?: (() => number) | undefined;
}

/** Of the allowance of an address: what a /64, a /56 and a /48 have. */
const SHARES = [1, 1.5, 2];

interface Allowance {
  left: number;
  at: number;
  pending: number;
  waiting: (() => void)[];
}

/**
 * Keeps guesses away from Vault. Each wrong credential costs one unit of several allowances: that of (client_id, address), that of
 * the address, and those of the networks around an IPv6 address, since one party may own a whole /48. They refill with time. An
 * allowance belongs to the network that guesses: nobody can use up a customer's allowance from elsewhere, so nobody can lock
 * a customer out by knowing a client_id (Vault's own AppRole lockout, which allows just that, is off). A client that was right from
 * an address before doesn't depend on what its neighbours do.
 * An attempt that is still undecided holds its unit; more attempts wait for it rather than being
 * refused, so that many good customers behind one proxy can start at once.
 */
export class Throttle {
  readonly #perClient: number;
  readonly #perAddress: number;
  readonly #refillMs: number;
  readonly #queue: number;
  readonly #patienceMs: number;
  readonly #now: () => number;
  // Bounded, since the keys are an attacker's to choose.
  readonly #clients = new BoundedMap<string, Allowance>(50_000);
  readonly #networks = new BoundedMap<string, Allowance>(50_000);
  /** Client and address that were right together. It proves nothing now. */
  readonly #onceRight = new RecentMap<string, true>(50_000);
  readonly #unseen: Unseen | undefined;

  constructor(options: ThrottleOptions = {}) {
    this.#perClient = options.perClient ?? 10;
    this.#perAddress = options.perAddress ?? 100;
    this.#refillMs = (options.refillSeconds ?? 60) * 1000;
    this.#queue = options.queue ?? 1000;
    this.#patienceMs = options.patienceMs ?? 4000;
    this.#unseen = options.unseen;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Runs `attempt` if each allowance has a unit left.
   * @param wrong tells whether an error of `attempt` means a wrong credential; any other outcome gives the units back.
   * @throws {PosternError} too_many_requests; temporarily_unavailable after too long a wait; both without running `attempt`.
   */
  async run<T>(clientId: string, address: string, attempt: () => Promise<T>, wrong: (error: unknown) => boolean): Promise<T> {
    const networks = networksOf(address);
    const pair = `${networks[0]}\0${clientId}`;
    const trusted = this.#onceRight.has(pair);
    const held: Allowance[] = [];
    let spent = false;
    try {
      for (const [level, network] of (trusted ? networks.slice(0, 1) : networks).entries()) {
        const limit = this.#perAddress * (SHARES[level] ?? 1);
        const allowance = this.#allowance(this.#networks, network, limit);
        await this.#take(allowance, limit);
        held.push(allowance);
      }
      const byClient = this.#allowance(this.#clients, pair, this.#perClient);
      await this.#take(byClient, this.#perClient);
      held.push(byClient);
      const result = await (this.#unseen?.run(networks.at(-1)!, trusted, attempt, wrong) ?? attempt());
      byClient.left = this.#perClient;
      // A whole one that nobody else holds a unit of is as good as none, and 100,000 clients' take 25 MB.
      if (byClient.pending === 1 && byClient.waiting.length === 0) this.#clients.delete(pair);
      this.#onceRight.set(pair, true);
      return result;
    } catch (error) {
      // Only `attempt` gives such an error.
      spent = wrong(error);
      if (spent) this.#onceRight.delete(pair);
      throw error;
    } finally {
      for (const allowance of held.toReversed()) this.#give(allowance, spent);
    }
  }

  /** Whether an attempt would be refused now. It costs nothing. */
  isUsedUp(clientId: string, address: string): boolean {
    const [narrowest] = networksOf(address);
    const now = this.#now();
    return [
      [this.#networks.peek(narrowest), this.#perAddress] as const,
      [this.#clients.peek(`${narrowest}\0${clientId}`), this.#perClient] as const,
    ].some(([allowance, limit]) => allowance !== undefined && this.#unitsOf(allowance, limit, now) < 1);
  }

  #allowance(map: BoundedMap<string, Allowance>, key: string, limit: number): Allowance {
    let allowance = map.get(key);
    if (allowance === undefined) {
      allowance = { left: limit, at: this.#now(), pending: 0, waiting: [] };
      map.set(key, allowance);
    }
    return allowance;
  }

  #unitsOf({ left, at }: Allowance, limit: number, now: number): number {
    return Math.min(limit, left + ((now - at) * limit) / this.#refillMs);
  }

  async #take(allowance: Allowance, limit: number): Promise<void> {
    const since = this.#now();
    for (;;) {
      const now = this.#now();
      allowance.left = this.#unitsOf(allowance, limit, now);
      allowance.at = now;
      if (allowance.left < 1) {
        const seconds = Math.max(1, Math.ceil(((1 - allowance.left) * this.#refillMs) / limit / 1000));
        throw new PosternError('too_many_requests', 'Too many wrong credentials, try again later', { retryAfter: seconds });
      }
      if (now - since > this.#patienceMs) {
        allowance.waiting.shift()?.();
        throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
          detail: 'too many logins of one address wait for Vault',
          retryAfter: 1,
        });
      }
      if (allowance.left - allowance.pending >= 1) {
        allowance.pending++;
        return;
      }
      if (allowance.waiting.length >= this.#queue) throw new PosternError('too_many_requests', 'Too many requests', { retryAfter: 1 });
      await new Promise<void>((resolve) => allowance.waiting.push(resolve));
    }
  }

  #give(allowance: Allowance, spent: boolean): void {
    allowance.pending--;
    if (spent) allowance.left = Math.max(0, allowance.left - 1);
    // Each wakes and looks again: a used-up allowance refuses them all, a whole one lets one more in.
    if (allowance.left < 1) for (const wake of allowance.waiting.splice(0)) wake();
    else allowance.waiting.shift()?.();
  }
}
