import { networksOf } from '#broker/network.ts';
import { Rate } from './rate.ts';

/** Of the allowance of an address: what a /64, a /56 and a /48 have. */
const SHARES = [1, 1.5, 2];

/** Wrong credentials by network: of an address or /64 so many a minute, and of the networks around an IPv6 address not many more. */
export class Failures {
  readonly #rates: readonly Rate[];

  constructor(perMinute: number, now?: () => number) {
    this.#rates = SHARES.map((share) => new Rate({ perMinute: perMinute * share, max: 50_000, ...(now === undefined ? {} : { now }) }));
  }

  take(address: string): void {
    for (const [level, network] of networksOf(address).entries()) this.#rates[level]?.take(network);
  }

  /** Seconds until another may be tried; takes none. */
  wait(address: string): number {
    return Math.max(...networksOf(address).map((network, level) => this.#rates[level]?.wait(network) ?? 0));
  }
}
