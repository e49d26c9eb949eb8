import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { BoundedMap } from '#broker/bounded-map.ts';
import { fieldsOf } from './admission.ts';
import type { Admission, Left, Limiter } from './admission.ts';
import type { Allowance, Window } from './allowance.ts';
import type { LocalLimiter } from './local-limiter.ts';

export interface SharedLimiterOptions {
  readonly client: Redis;
  /** Counts while the store can't be asked. */
  readonly local: LocalLimiter;
  /** Told each time that the store can't be asked. @param err never with a password in it */
  readonly onError?: (err: Error) => void;
  /** Told when it can be asked again. */
  readonly onRecovered?: () => void;
  /** A request waits so long at most, ms; those after it don't, until the store answers again. Default 100. */
  readonly patienceMs?: number;
  /** How often it is tried while it can't be asked, ms. Default 500. */
  readonly probeMs?: number;
}

/** Different quotas and windows that are kept ready. */
const MAX_LIMITERS = 1_000;
const PREFIX = 'postern:limits';
/** ms */
const ABOUT_TO_END = 300;
/** What the store said is used up isn't asked for again for so long, ms: another replica may give back, or an operator empty the store. */
const BLOCK = 2_000;
/** Counts that are known to be used up. */
const MAX_BLOCKED = 50_000;

/** By the monotonic clock, ms. */
interface Blocked {
  readonly until: number;
  /** When the window ends. */
  readonly ends: number;
}

/** One window's count after a request: what is left of it, or that it is used up. */
interface Counted {
  readonly key: string;
  readonly window: Window;
  readonly left: Left;
  readonly admitted: boolean;
  /** Whether the store was asked. */
  readonly asked: boolean;
  /** ms */
  readonly endsIn: number;
}

/**
 * Counts in Valkey or Redis, for all brokers together: one atomic script a window, whose count ends by itself. What is known here to be
 * used up isn't asked for again for some seconds. Where the store fails or is too slow, requests are counted locally until it answers a
 * probe.
 */
export class SharedLimiter implements Limiter {
  readonly #options: SharedLimiterOptions;
  readonly #limiters = new BoundedMap<string, RateLimiterRedis>(MAX_LIMITERS);
  readonly #names = new WeakMap<Allowance, string>();
  readonly #blocked = new BoundedMap<string, Blocked>(MAX_BLOCKED);
  #probing: NodeJS.Timeout | undefined;
  /** Requests, by where they were counted. */
  readonly counted = { store: 0, memory: 0 };

  constructor(options: SharedLimiterOptions) {
    this.#options = options;
  }

  /** Whether the store is asked now. */
  get available(): boolean {
    return this.#probing === undefined;
  }

  admit(allowances: readonly Allowance[]): Admission | Promise<Admission> {
    if (this.available && this.#options.client.status === 'ready') return this.#ask(allowances);
    if (this.available) this.#fails(new Error('there is no connection'));
    return this.#countHere(allowances);
  }

  /** Ends what runs in the background. */
  stop(): void {
    clearInterval(this.#probing);
  }

  #countHere(allowances: readonly Allowance[]): Admission {
    this.counted.memory++;
    return this.#options.local.admit(allowances);
  }

  async #ask(allowances: readonly Allowance[]): Promise<Admission> {
    try {
      const admission = await this.#inTime(this.#count(allowances));
      this.counted.store++;
      // Should the store go away within the window, this replica knows what it let through itself.
      if (admission.exhausted === undefined) this.#options.local.admit(allowances);
      return admission;
    } catch (error) {
      this.#fails(error instanceof Error ? error : new Error('the store answered nonsense'));
      return this.#countHere(allowances);
    }
  }

  /**
   * One window after the other, the narrowest first: what the key's limit refuses never touches its tenant's, and what the second refuses
   * not the day. Most have one window, and so one round trip.
   */
  async #count(allowances: readonly Allowance[]): Promise<Admission> {
    const counted: Counted[] = [];
    let exhausted: Admission['exhausted'];
    for (const allowance of allowances.toReversed()) {
      for (const window of allowance.windows) {
        const one = await this.#consume(allowance, window);
        counted.push(one);
        if (one.admitted) continue;
        if (window.seconds === 1 && allowance.burst !== undefined) {
          const burst = await this.#consume(allowance, allowance.burst);
          counted.push(burst);
          if (burst.admitted) continue;
        }
        exhausted = { window, seconds: one.left.seconds };
        break;
      }
      if (exhausted !== undefined) break;
    }
    // A request that one window refuses counts in none, that one neither: what is given back later would else go to nobody. Nobody waits.
    if (exhausted !== undefined) for (const one of counted) if (one.asked) this.#giveBack(one);
    const left = counted.map((one) => one.left);
    return { exhausted, fields: fieldsOf(allowances, left) };
  }

  async #consume(allowance: Allowance, window: Window): Promise<Counted> {
    const key = `${this.#nameOf(allowance)}:${window.name}`;
    const block = blockOf(key, window);
    const blocked = this.#blocked.get(block);
    const now = performance.now();
    if (blocked !== undefined && now < blocked.until)
      return countedOf(key, window, { remainingPoints: 0, msBeforeNext: blocked.ends - now });
    try {
      return countedOf(key, window, await this.#limiterOf(window).consume(key), 'admitted');
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      const ends = performance.now() + error.msBeforeNext;
      this.#blocked.set(block, { until: Math.min(performance.now() + BLOCK, ends), ends });
      return countedOf(key, window, error, 'refused');
    }
  }

  /** Not where the window is about to end: it would be the next one that gains by it. */
  #giveBack({ key, window, endsIn, admitted }: Counted): void {
    if (endsIn < ABOUT_TO_END) return;
    if (admitted) this.#blocked.delete(blockOf(key, window));
    this.#limiterOf(window)
      .reward(key)
      .catch((error: unknown) => this.#fails(error instanceof Error ? error : new Error('the store answered nonsense')));
  }

  #limiterOf({ quota, seconds }: Window): RateLimiterRedis {
    const which = `${quota}/${seconds}`;
    let limiter = this.#limiters.get(which);
    if (limiter === undefined) {
      limiter = new RateLimiterRedis({
        storeClient: this.#options.client,
        keyPrefix: PREFIX,
        points: quota,
        duration: seconds,
        rejectIfRedisNotReady: true,
      });
      this.#limiters.set(which, limiter);
    }
    return limiter;
  }

  /** A hash: who reads the store learns neither tenants nor keys. A client_id and a key id are nobody else's, wherever they were made. */
  #nameOf(allowance: Allowance): string {
    let name = this.#names.get(allowance);
    if (name === undefined) {
      name = createHash('sha256').update(allowance.id).digest('base64url');
      this.#names.set(allowance, name);
    }
    return name;
  }

  #fails(error: Error): void {
    this.#options.onError?.(error);
    if (this.#probing !== undefined) return;
    this.#probing = setInterval(() => void this.#probe(), this.#options.probeMs ?? 500).unref();
    // Where it was slow once it is back at once.
    void this.#probe();
  }

  async #probe(): Promise<void> {
    const { client, onRecovered } = this.#options;
    if (client.status !== 'ready') return;
    try {
      await this.#inTime(client.ping());
    } catch {
      return;
    }
    if (this.#probing === undefined) return;
    clearInterval(this.#probing);
    this.#probing = undefined;
    onRecovered?.();
  }

  /** @throws Error when it takes too long */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const { patienceMs = 100 } = this.#options;
    const late = Promise.withResolvers<never>();
    // Where this process itself was busy the answer has come and is only unread: that comes first.
    const timer = setTimeout(() => setImmediate(() => late.reject(new Error(`no answer within ${patienceMs} ms`))), patienceMs);
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      clearTimeout(timer);
      late.promise.catch(() => {});
      work.catch(() => {});
    }
  }
}

/** A quota that changes is another one. */
const blockOf = (key: string, { quota }: Window): string => `${key}/${quota}`;

/** @param said by the store; undefined: it wasn't asked */
function countedOf(
  key: string,
  window: Window,
  { remainingPoints, msBeforeNext }: Pick<RateLimiterRes, 'remainingPoints' | 'msBeforeNext'>,
  said?: 'admitted' | 'refused',
): Counted {
  const admitted = said === 'admitted';
  const seconds = Math.min(window.seconds, Math.max(1, Math.ceil(msBeforeNext / 1000)));
  const left = { window, remaining: admitted ? remainingPoints : 0, seconds };
  return { key, window, admitted, asked: said !== undefined, endsIn: msBeforeNext, left };
}
