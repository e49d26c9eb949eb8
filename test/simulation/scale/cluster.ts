import { BoundedMap } from '#broker/bounded-map.ts';
import { Servable } from '#broker/token/servable.ts';
import { refreshAt } from '#broker/token/token.ts';
import { Counters } from './counters.ts';
import { OPERATIONS } from './prices.ts';
import type { Price, Prices } from './prices.ts';
import { Queue } from './queue.ts';
import type { BrokerSettings } from './settings.ts';
import { Traffic } from './traffic.ts';
import type { Mix } from './traffic.ts';

export interface ClusterOptions {
  /** Tenants of the whole. */
  readonly tenants: number;
  /** Every so manieth of them is simulated, and stands for the others; what is bounded in memory is bounded by as much less. */
  readonly sample: number;
  readonly replicas: number;
  /** Which replica a request reaches: any, or the same one for each tenant as long as it is there. */
  readonly balance: 'any' | 'tenant';
  /** Of tokens, s. */
  readonly lifetime: number;
  readonly settings: BrokerSettings;
  readonly prices: Prices;
  readonly mix: Mix;
  readonly random: () => number;
  /** When it begins, s since a midnight; default then. */
  readonly start?: number;
  /** Begins with no token anywhere. Default: with tokens of all ages. */
  readonly cold?: boolean;
  /** Told of each request. */
  readonly onRequest?: (tenant: number, replica: number, at: number) => void;
}

interface Held {
  readonly sha256: string;
  readonly signedBy: string;
  /** Seconds, as in a token. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** ms */
  readonly refreshAt: number;
}

interface Replica {
  /** When Vault was last asked about a tenant's credential, s. */
  readonly verified: BoundedMap<number, number>;
  readonly tokens: BoundedMap<number, Held>;
}

/**
 * Brokers by count: each request is decided as a broker decides it, by the product's own rules and bounds, and costs what the real classes
 * were seen to ask ({@link Prices}); nothing is sent. Times are seconds since the start.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #simulated: number;
  readonly #servable: Servable;
  readonly #traffic: Traffic;
  readonly #queue: Queue;
  readonly #replicas: Replica[];
  /** What replicas share: when the stored token was issued and ends; 0: none is stored. */
  readonly #storedAt: Float64Array;
  readonly #storedUntil: Float64Array;
  #counters = new Counters(1, 1);

  constructor(options: ClusterOptions) {
    const { tenants, sample, replicas, settings, mix, random, start = 0 } = options;
    this.#options = options;
    this.#simulated = Math.round(tenants / sample);
    this.#servable = new Servable({ minRemaining: settings.minRemaining });
    this.#traffic = new Traffic(this.#simulated, mix, options.lifetime, random);
    this.#replicas = Array.from({ length: replicas }, () => this.#empty());
    // As after a long time: tokens of all ages up to that at which they are fetched anew.
    this.#storedAt = Float64Array.from({ length: this.#simulated }, () => start - Math.floor(random() * 0.8 * options.lifetime));
    this.#storedUntil = this.#storedAt.map((at) => (options.cold === true ? 0 : at + options.lifetime));
    this.#queue = new Queue(Float64Array.from({ length: this.#simulated }, (_, t) => this.#traffic.first(t, start)));
  }

  /** Tokens and verifications in one replica's memory, in the mean. */
  get held(): { readonly tokens: number; readonly credentials: number } {
    const { sample, replicas } = this.#options;
    const sum = (of: 'tokens' | 'verified'): number =>
      (this.#replicas.reduce((all, replica) => all + replica[of].size, 0) * sample) / replicas;
    return { tokens: sum('tokens'), credentials: sum('verified') };
  }

  /** @param bucket seconds that are counted together @returns what happened */
  run(from: number, to: number, bucket: number): Counters {
    this.#counters = new Counters(Math.ceil((to - from) / bucket), this.#options.sample);
    const queue = this.#queue;
    for (let { due } = queue; due < to; { due } = queue) {
      const t = queue.first;
      this.#counters.bucket = Math.max(0, Math.floor((due - from) / bucket));
      queue.later(this.#traffic.next(t, due, this.#request(t, due)));
    }
    return this.#counters;
  }

  /** Replicas start anew, with nothing in memory. @param which all of them, or some */
  restart(which: (replica: number) => boolean = () => true): void {
    for (const index of this.#replicas.keys()) if (which(index)) this.#replicas[index] = this.#empty();
  }

  /** No token that was issued before is any good, as after its key was taken out of use. */
  voidTokens(): void {
    for (const { tokens } of this.#replicas) tokens.clear();
    this.#storedUntil.fill(0);
  }

  /** All tokens were issued at the same time, as after that. */
  issuedTogether(now: number): void {
    this.#storedAt.fill(now);
    this.#storedUntil.fill(now + this.#options.lifetime);
    for (const { tokens } of this.#replicas) tokens.clear();
  }

  /** Verifications are forgotten everywhere, as when Terraform has changed something. */
  forgetVerifications(): void {
    for (const { verified } of this.#replicas) verified.clear();
  }

  #empty(): Replica {
    const { settings, sample } = this.#options;
    const of = (max: number): number => Math.max(1, Math.round(max / sample));
    return { verified: new BoundedMap(of(settings.credentials)), tokens: new BoundedMap(of(settings.tokens)) };
  }

  /** @returns when the token ends that it was given */
  #request(t: number, now: number): number {
    const { balance, replicas, settings, prices, random } = this.#options;
    const reached = balance === 'tenant' ? t % replicas : Math.floor(random() * replicas);
    const replica = this.#replicas[reached]!;
    this.#options.onRequest?.(t, reached, now);
    this.#counters.add('requests', 1);
    const askedAt = replica.verified.get(t);
    const known = askedAt !== undefined && now - askedAt < settings.verifyTtl;
    if (!known) {
      // Gateways have keys; their name is looked for at each verification.
      this.#pay(this.#traffic.kind[t] === 2 ? prices.keyVerification : prices.verification);
      this.#counters.add('verifications', 1);
      replica.verified.set(t, now);
    }
    const held = replica.tokens.get(t);
    if (held !== undefined && this.#servable.includes(held, '', now * 1000)) {
      if (known) this.#counters.add('hits', 1);
      if (now * 1000 >= held.refreshAt) this.#refresh(t, replica, held, now);
      return held.expiresAt;
    }
    return this.#obtain(t, replica, now);
  }

  #refresh(t: number, replica: Replica, held: Held, now: number): void {
    if (this.#stored(t, now) && this.#storedUntil[t]! > held.expiresAt) {
      this.#pay(this.#options.prices.fromStore);
      this.#hold(t, replica);
    } else this.#fetch(t, replica, now, this.#options.prices.refresh);
  }

  #obtain(t: number, replica: Replica, now: number): number {
    if (this.#stored(t, now)) {
      this.#pay(this.#options.prices.fromStore);
      this.#counters.add('from store', 1);
      this.#hold(t, replica);
    } else this.#fetch(t, replica, now, this.#options.prices.fetch);
    return this.#storedUntil[t]!;
  }

  #fetch(t: number, replica: Replica, now: number, price: Price): void {
    this.#pay(price);
    this.#counters.add('source calls', this.#options.prices.sourceCalls);
    this.#storedAt[t] = Math.floor(now);
    this.#storedUntil[t] = Math.floor(now) + this.#options.lifetime;
    this.#hold(t, replica);
  }

  #stored(t: number, now: number): boolean {
    const until = this.#storedUntil[t]!;
    return (
      until > 0 && this.#servable.includes({ sha256: '', signedBy: '', issuedAt: this.#storedAt[t]!, expiresAt: until }, '', now * 1000)
    );
  }

  #hold(t: number, { tokens }: Replica): void {
    const [issuedAt, expiresAt] = [this.#storedAt[t]!, this.#storedUntil[t]!];
    tokens.set(t, { sha256: '', signedBy: '', issuedAt, expiresAt, refreshAt: refreshAt(issuedAt, expiresAt, this.#options.random()) });
  }

  #pay(price: Price): void {
    for (const operation of OPERATIONS) if (price[operation] !== 0) this.#counters.add(operation, price[operation]);
  }
}
