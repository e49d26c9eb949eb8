import { FairLine } from '#broker/fair-line.ts';
import { Overloaded } from '#broker/overloaded.ts';

export interface TurnsOptions {
  /** See {@link FairLine}. 0: nobody waits. */
  waitMs: number;
  /** Told of each request that is shed. */
  onShed: () => void;
  /** Runs when those of a turn have done what they do at once. */
  after?: () => void;
  /** ms of a clock that never goes back. */
  now?: () => number;
}

/** Whose line a request waits in. */
export interface Party {
  /** Whether its credential was right here before; else it is known by its network. The two kinds have a turn each. */
  readonly known: boolean;
  readonly name: string;
}

interface Waiting {
  readonly begin: () => void;
  readonly shed: (why: Overloaded) => void;
}

/** Requests that begin in one turn of the event loop without a look at anything. */
const UNSEEN = 32;
/** How long those of one turn may take, ms, and how many they are at least and at most. */
const TURN = 2;
const LEAST = 4;
const MOST = 64;
/** Of those that begin in a turn, how many more are refused in it at most. */
const REFUSED = 0.25;
const NONE = { count: 0, since: 0 };

/**
 * So few requests begin in a turn of the event loop that who asks little never waits for those who ask much: what is beyond waits in a
 * {@link FairLine} by party, where it costs nothing, and is shed from there.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #known: FairLine<Waiting>;
  readonly #strangers: FairLine<Waiting>;
  readonly #now: () => number;
  #begun = 0;
  #scheduled = false;
  #strangersNext = false;
  #atOnce = UNSEEN;
  /** In this turn, from when on. */
  #taken = NONE;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const line = { waitMs: options.waitMs, now: this.#now };
    this.#known = new FairLine(line);
    this.#strangers = new FairLine(line);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#known.length + this.#strangers.length;
  }

  /** @returns undefined where it may begin at once. @throws {Overloaded} */
  take(party: () => Party): undefined | Promise<void> {
    if (this.#options.waitMs === 0) return undefined;
    if (!this.#scheduled) this.#schedule();
    if (this.#begun < UNSEEN && this.waiting === 0) {
      this.#begun++;
      return undefined;
    }
    const { known, name } = party();
    return new Promise((begin, shed) => (known ? this.#known : this.#strangers).push(name, { begin, shed }));
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#next);
    setImmediate(this.#after);
  }

  /** At the end of each turn. */
  readonly #next = (): void => {
    this.#begun = 0;
    this.#scheduled = false;
    if (this.waiting + this.#known.stale + this.#strangers.stale === 0) return;
    const since = this.#now();
    let count = 0;
    for (let next = this.#takeOne(); next !== undefined; next = this.#takeOne()) {
      next.item.begin();
      if (++count === this.#atOnce) break;
    }
    // To refuse is work, too: fewer are refused than served, and who isn't told yet asks nothing new.
    const most = count + Math.ceil(this.#atOnce * REFUSED);
    for (let stale = this.#takeStale(); stale !== undefined; stale = this.#takeStale()) {
      this.#options.onShed();
      stale.shed(new Overloaded('turn'));
      if (++count === most) break;
    }
    this.#taken = { count, since };
    this.#schedule();
  };

  /** They ran when that function had ended, and before this one. */
  readonly #after = (): void => {
    const { count, since } = this.#taken;
    if (count === 0) return;
    this.#options.after?.();
    const took = Math.max(0.01, this.#now() - since);
    this.#atOnce = Math.round(Math.min(MOST, Math.max(LEAST, (count * TURN) / took)));
    this.#taken = NONE;
  };

  #takeStale(): Waiting | undefined {
    return this.#known.takeStale() ?? this.#strangers.takeStale();
  }

  #takeOne(): ReturnType<FairLine<Waiting>['take']> {
    this.#strangersNext = !this.#strangersNext;
    const [first, second] = this.#strangersNext ? [this.#strangers, this.#known] : [this.#known, this.#strangers];
    return first.take() ?? second.take();
  }
}
