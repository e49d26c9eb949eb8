import { LRUCache } from 'lru-cache';
import { PosternError } from '#broker/error.ts';

export interface ThrottleOptions {
  /** Wrong credentials allowed in a row for one client_id from one address. Default 10. */
  perClient?: number;
  /** Wrong credentials allowed in a row from one address, whatever the client_id. Default 100. */
  perAddress?: number;
  /** Seconds until a used-up allowance is whole again. Default 60. */
  refillSeconds?: number;
  /** Attempts that may wait for others to be decided. Default 1000 for each address. */
  queue?: number;
  /** Longest wait in that queue, ms. Default 4000: behind a Vault that is frozen, a request must not wait for all before it to time out. */
  patienceMs?: number;
  /** ms of a clock that never goes back. Default performance.now. */
  now?: () => number;
}

interface Allowance {
  left: number;
  at: number;
  pending: number;
  waiting: (() => void)[];
}

/**
 * Keeps guesses away from Vault. Each wrong credential costs one unit of two allowances, that of
 * (client_id, address) and that of the address; they refill with time. An allowance belongs to the
 * address that guesses: nobody can use up a customer's allowance from elsewhere, so nobody can lock
 * a customer out by knowing a client_id (Vault's own AppRole lockout, which allows just that, is off).
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
  readonly #clients = new LRUCache<string, Allowance>({ max: 50_000 });
  readonly #addresses = new LRUCache<string, Allowance>({ max: 50_000 });

  constructor(options: ThrottleOptions = {}) {
    this.#perClient = options.perClient ?? 10;
    this.#perAddress = options.perAddress ?? 100;
    this.#refillMs = (options.refillSeconds ?? 60) * 1000;
    this.#queue = options.queue ?? 1000;
    this.#patienceMs = options.patienceMs ?? 4000;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Runs `attempt` if both allowances have a unit left.
   * @param wrong tells whether an error of `attempt` means a wrong credential; any other outcome gives the units back.
   * @throws {PosternError} too_many_requests; temporarily_unavailable after too long a wait; both without running `attempt`.
   */
  async run<T>(clientId: string, address: string, attempt: () => Promise<T>, wrong: (error: unknown) => boolean): Promise<T> {
    const network = networkOf(address);
    const byAddress = this.#allowance(this.#addresses, network, this.#perAddress);
    await this.#take(byAddress, this.#perAddress);
    let spent = false;
    try {
      const byClient = this.#allowance(this.#clients, `${network}\0${clientId}`, this.#perClient);
      await this.#take(byClient, this.#perClient);
      try {
        const result = await attempt();
        byClient.left = this.#perClient;
        return result;
      } catch (error) {
        spent = wrong(error);
        throw error;
      } finally {
        this.#give(byClient, spent);
      }
    } finally {
      this.#give(byAddress, spent);
    }
  }

  #allowance(map: LRUCache<string, Allowance>, key: string, limit: number): Allowance {
    let allowance = map.get(key);
    if (allowance === undefined) {
      allowance = { left: limit, at: this.#now(), pending: 0, waiting: [] };
      map.set(key, allowance);
    }
    return allowance;
  }

  async #take(allowance: Allowance, limit: number): Promise<void> {
    const since = this.#now();
    for (;;) {
      const now = this.#now();
      allowance.left = Math.min(limit, allowance.left + ((now - allowance.at) * limit) / this.#refillMs);
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

/**
 * An IPv6 customer owns a /64 at least; counting single addresses would give a guesser 2^64 allowances.
 * Two spellings of one address are one, and an IPv4 address mapped into IPv6 is that IPv4 address.
 */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail = ''] = address.split('%')[0]!.split('::');
  const left = groupsOf(head);
  const right = groupsOf(tail);
  const zeros = address.includes('::') ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => 0) : [];
  const groups = [...left, ...zeros, ...right];
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join('.');
  }
  return groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':');
}

/** 16 bits each; a dotted quad at the end is two of them. */
function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
