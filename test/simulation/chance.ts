import { createHash } from 'node:crypto';
import { seeded } from '#test/fixture/seeded.ts';

/** Where all that is left to chance in one simulation comes from. */
export class Chance {
  readonly #next: () => number;

  /** @param purpose each has a stream of its own, so that one event more or less changes as little as possible of the others */
  constructor(seed: number, purpose: string) {
    this.#next = seeded(createHash('sha256').update(`${seed} ${purpose}`).digest().readInt32LE(0));
  }

  /** 0 to 1. */
  readonly random = (): number => this.#next();

  /** From `least` to `most`, both ends possible. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.#next() * (most - least + 1));
  }

  between(least: number, most: number): number {
    return least + this.#next() * (most - least);
  }

  /** True so often. */
  maybe(share: number): boolean {
    return this.#next() < share;
  }

  oneOf<T>(these: readonly T[]): T {
    const one = these[Math.floor(this.#next() * these.length)];
    if (one === undefined) throw new Error('nothing to choose from');
    return one;
  }
}
