import { monotonicOf } from './clock.ts';
import type { Clocks } from './clock.ts';

/** Which way theirs is off, and how far at least, ms: positive when theirs is ahead of ours. */
interface Observation {
  /** What theirs would show at 0 of our monotonic clock: no earlier, no later than this; ms since 1970. */
  readonly from: number;
  readonly to: number;
  readonly at: number;
}

/** Answers that must agree before a difference counts: one that a proxy held back says nothing. */
const AGREE = 3;
/** An answer that took longer, as a long list does, may have been dated at any time of that: it would agree with everything. ms */
const LONGEST = 3_000;
/** What was observed longer ago says nothing any more, ms. */
const FORGET = 600_000;
/** The same for what would let something live on: a machine that slept, which stops the monotonic clock, seems to be ahead. ms */
const FRESH = 60_000;

/**
 * How far this machine's clock is from somebody else's, by the Date of their answers (RFC 9110 §6.6.1). What is observed is kept against
 * the monotonic clock, so that a step of our own wall clock shows at once, both ways.
 */
export class ClockDifference {
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #agree: number;
  #last: Observation[] = [];
  /** Whether they answer, and without a Date. */
  #undated = false;

  /** @param options.agree answers that must agree. Default 3 */
  constructor(options: Clocks & { agree?: number } = {}) {
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
    this.#agree = options.agree ?? AGREE;
  }

  /**
   * @param date of the answer's header; what is no date is ignored
   * @param tookMs from sending the request to this moment: the answer was dated some time within
   */
  observe(date: string | null | undefined, tookMs: number): void {
    const theirs = Date.parse(date ?? '');
    this.#undated = Number.isNaN(theirs);
    if (Number.isNaN(theirs) || tookMs > LONGEST) return;
    const at = this.#monotonic();
    // To the second: it was up to 999 ms later there than the header says.
    const one = { from: theirs - at, to: theirs + 999 - (at - tookMs), at };
    this.#last = [...this.#last.slice(1 - this.#agree), one].slice(-this.#agree);
  }

  /** ms by which theirs is ahead (negative: behind) at least, by all of the last answers; 0: none can be told. */
  get ms(): number {
    return this.#difference(FORGET);
  }

  /**
   * ms by which ours may be behind, 0 where it isn't for sure: up to a second more than the difference, to which a Date is told. What was
   * observed last holds on while nobody answers: by it tokens and credentials end.
   */
  get behind(): number {
    const ms = this.#difference(Infinity);
    return ms > 0 ? ms + 1_000 : 0;
  }

  /** Whether theirs is known, and not further off than that, ms: what was observed last holds on, since a step of ours would show. */
  agrees(ms: number): boolean {
    return this.#last.length === this.#agree && Math.abs(this.#difference(Infinity)) <= ms;
  }

  /** ms by which ours is ahead for sure, by what was observed just now; 0 where it isn't. */
  get ahead(): number {
    return Math.max(0, -this.#difference(FRESH));
  }

  /** Their time as far as it is known, else ours: for what they stamp, and what is signed in their name. ms since 1970 */
  get theirs(): number {
    return this.#now() + (this.ms || Math.max(0, this.#difference(Infinity)));
  }

  /** The later one of their time and ours, by which ends what somebody else has stamped. ms since 1970 */
  get latest(): number {
    return this.#now() + this.behind;
  }

  /** Their time as above, and no earlier than it may be: by it ends what they have stamped. ms since 1970 */
  get theirsAtLatest(): number {
    return this.#now() + this.behind - this.ahead;
  }

  /**
   * By both clocks it is so late at least: what must not be forgotten before its time is forgotten by this. No step of our own clock moves
   * it ahead of theirs, at any moment. -Infinity until theirs is known; ours where they tell none. ms since 1970
   */
  get earliest(): number {
    const ours = this.#now();
    if (this.#last.length < this.#agree) return this.#undated ? ours : -Infinity;
    return Math.min(ours, this.#monotonic() + Math.min(...this.#last.map(({ from }) => from)));
  }

  /** @param forget what was observed so long ago says nothing, ms */
  #difference(forget: number): number {
    if (this.#last.length < this.#agree) return 0;
    const now = this.#monotonic();
    const ours = this.#now() - now;
    let least = Infinity;
    for (const { from, to, at } of this.#last) {
      if (now - at >= forget) return 0;
      const difference = from > ours ? from - ours : to < ours ? to - ours : 0;
      if (Math.abs(difference) < Math.abs(least)) least = difference;
    }
    return least;
  }
}
