export interface FairLineOptions {
  /** Longest wait that may stand, ms. 0: nothing is ever stale. */
  waitMs: number;
  /** ms of a clock that never goes back. */
  now: () => number;
}

/** How long a wait must have stood until it counts: in multiples of itself, and ms. */
const [STANDING, LEAST_STANDING] = [4, 2_000];

/** Of a burst fewer come than leave the line. */
const NO_BURST = 0.9;

/** One party's own line. */
interface Flow<T> {
  readonly waiting: Queue<T>;
  /** When each came, ms. Beside it: an object for each that waits would live long enough to cost the garbage collector something. */
  readonly since: Queue<number>;
  /** Since `from`: the shortest wait of those that left, and how many came, left, and were stale. */
  from: number;
  least: number;
  came: number;
  left: number;
  stale: number;
  /** When the last one left. */
  leftAt: number;
  sheds: boolean;
}

/**
 * A line in which each party is served in turn, however many of its own wait, as in FQ-CoDel (RFC 8290). What has waited too long is
 * stale where its party's line *stands*: for some time nobody had a short wait, and more come as fast as they are served. So neither a
 * burst nor a pause of the process makes anything stale, and nobody pays for what others ask.
 */
export class FairLine<T> {
  readonly #waitMs: number;
  readonly #standingMs: number;
  readonly #now: () => number;
  /** In the order of their turns. */
  readonly #flows = new Map<string, Flow<T>>();
  readonly #stale = new Queue<T>();
  #length = 0;

  constructor({ waitMs, now }: FairLineOptions) {
    this.#waitMs = waitMs;
    this.#standingMs = Math.max(waitMs * STANDING, LEAST_STANDING);
    this.#now = now;
  }

  /** Those that may still be served. */
  get length(): number {
    return this.#length;
  }

  /** Those that are to be told that they won't be. */
  get stale(): number {
    return this.#stale.length;
  }

  /** Parties that wait. */
  get parties(): number {
    return this.#flows.size;
  }

  lengthOf(party: string): number {
    return this.#flows.get(party)?.waiting.length ?? 0;
  }

  push(party: string, item: T): void {
    const now = this.#now();
    let flow = this.#flows.get(party);
    if (flow === undefined) {
      flow = {
        waiting: new Queue(),
        since: new Queue(),
        from: now,
        least: Infinity,
        came: 0,
        left: 0,
        stale: 0,
        leftAt: now,
        sheds: false,
      };
      this.#flows.set(party, flow);
    }
    flow.waiting.push(item);
    flow.since.push(now);
    flow.came++;
    this.#length++;
  }

  /** The next one that is worth serving. */
  take(): { readonly item: T; readonly waited: number } | undefined {
    for (const [party, flow] of this.#flows) {
      const now = this.#now();
      this.#judge(flow, now);
      const next = this.#nextOf(flow, now);
      // Its next turn is after all others'.
      this.#flows.delete(party);
      if (flow.waiting.length > 0) this.#flows.set(party, flow);
      if (next !== undefined) return next;
    }
    return undefined;
  }

  /** One that is stale: to serve it would only make those behind it late, too. */
  takeStale(): T | undefined {
    return this.#stale.shift();
  }

  #nextOf(flow: Flow<T>, now: number): { readonly item: T; readonly waited: number } | undefined {
    for (let item = flow.waiting.shift(); item !== undefined; item = flow.waiting.shift()) {
      this.#length--;
      flow.left++;
      const waited = now - (flow.since.shift() ?? now);
      flow.least = Math.min(flow.least, waited);
      if (!flow.sheds || waited < this.#waitMs) return { item, waited };
      flow.stale++;
      this.#stale.push(item);
    }
    return undefined;
  }

  #judge(flow: Flow<T>, now: number): void {
    if (this.#waitMs === 0) return;
    // None was taken for so long: it is the process that stood still, not the line.
    if (now - flow.leftAt > this.#standingMs / 4) begin(flow, now, false);
    flow.leftAt = now;
    if (now - flow.from < this.#standingMs) return;
    begin(flow, now, flow.sheds ? flow.stale > 0 : flow.least >= this.#waitMs && flow.came >= NO_BURST * flow.left);
  }
}

function begin(flow: Flow<unknown>, now: number, sheds: boolean): void {
  flow.from = now;
  flow.least = Infinity;
  flow.came = flow.left = flow.stale = 0;
  flow.sheds = sheds;
}

/** First in, first out; an array's own shift moves all that is behind. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.#head < this.#items.length) this.#items[this.#head++] = undefined;
    if (this.#head >= 1024 || this.#head === this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
