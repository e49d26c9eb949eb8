import { FairLine } from '#broker/fair-line.ts';
import { Overloaded } from '#broker/overloaded.ts';
import { Reading } from './reading.ts';

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

/** A request, or a connection that may have one. */
type Waiting = { readonly begin: () => void; readonly shed: (why: Overloaded) => void } | Reading;

/**
 * Who asks after the process itself: by a connection of its own, as kubelets and balancers do, or by one that has asked before. It is never
 * shed, since what it isn't told takes the process out of rotation, or ends it.
 */
export type Probe = 'new' | 'kept';

/** Requests that begin in one turn of the event loop without a look at anything. */
const UNSEEN = 32;
/** Of parties that don't wait yet, while others do. */
const SPARSE = 4;
/** Probes by connections of their own that begin in a turn, whoever waits. */
const PROBES = 4;
/** How long a turn in which somebody waits may take, ms, and how many begin in it at least and at most. */
const TURN = 1;
const LEAST = 4;
const MOST = 64;
/** Of those that wait, how many begin in a turn in which a connection was accepted: Node accepts one in each, and others wait for that. */
const LEAST_BESIDE = 1;
/** Of those that begin in a turn, how many more are refused in it at most. */
const REFUSED = 0.25;
const NOTHING = { since: 0, count: 0 };

/**
 * So few requests begin in a turn of the event loop that who asks little never waits for those who ask much: what is beyond waits in a
 * {@link FairLine} by party, where it costs nothing, and is shed from there. Of a party that waits already further connections are left
 * unread until it is their turn: a request that nobody has read is no work for the garbage collector.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #known: FairLine<Waiting>;
  readonly #strangers: FairLine<Waiting>;
  readonly #now: () => number;
  #begun = 0;
  #sparse = 0;
  #probes = 0;
  #accepted = false;
  #scheduled = false;
  #strangersNext = false;
  #atOnce = UNSEEN;
  #turn = 0;
  /** When the last turn began, and how many began in it. */
  #last = { since: 0, count: 0 };

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const line = { waitMs: options.waitMs, now: this.#now };
    this.#known = new FairLine(line);
    this.#strangers = new FairLine(line);
  }

  /** Requests that wait, and connections that may have one. */
  get waiting(): number {
    return this.#known.length + this.#strangers.length;
  }

  /**
   * @param reading of the connection by which it came, where that may be left unread
   * @param party asked where others wait
   * @returns undefined where it may begin at once; else rejects with {@link Overloaded} where it is shed
   * @throws {Overloaded}
   */
  take(reading: Reading | undefined, party: () => Party, probe?: Probe): undefined | Promise<void> {
    if (this.#options.waitMs === 0) return undefined;
    if (!this.#scheduled) this.#schedule();
    const others = this.waiting > 0;
    if (!others && this.#begun < UNSEEN) {
      this.#begun++;
      return undefined;
    }
    if (others && reading?.turn === this.#turn) {
      this.#passes(reading, probe);
      return undefined;
    }
    if (probe === 'new' && this.#probes < PROBES) {
      this.#probes++;
      return undefined;
    }
    const { known, name } = party();
    const line = this.#lineOf(known);
    // Who asks little needs no turn of its own, as long as they are few.
    if (others && this.#sparse < SPARSE && line.lengthOf(name) === 0) {
      this.#sparse++;
      return undefined;
    }
    return new Promise((begin, shed) => line.push(name, { begin, shed: probe === undefined ? shed : () => begin() }));
  }

  /** A connection was accepted. */
  accepted(): void {
    this.#accepted = true;
  }

  /** After an answer: where the party waits already, its connection is left unread, and what comes by it has its turn behind them. */
  leaveUnread(reading: Reading, { known, name }: Party): void {
    const line = this.#lineOf(known);
    if (known) reading.usedBy(name);
    if (line.lengthOf(name) > 0 && reading.leave()) line.push(name, reading);
  }

  #lineOf(known: boolean): FairLine<Waiting> {
    return known ? this.#known : this.#strangers;
  }

  /** It was read for its turn. @throws {Overloaded} where that was to be shed */
  #passes(reading: Reading, probe: Probe | undefined): void {
    reading.turn = -1;
    if (!reading.sheds || probe !== undefined) return;
    this.#options.onShed();
    throw new Overloaded('turn');
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#next);
    setImmediate(this.#after);
  }

  #begin(item: Waiting, sheds: boolean): void {
    if (item instanceof Reading) {
      // If its client has not asked yet, that counts for nothing.
      item.turn = this.#turn;
      item.sheds = sheds;
      item.start();
    } else if (sheds) {
      this.#options.onShed();
      item.shed(new Overloaded('turn'));
    } else item.begin();
  }

  /** At the end of each turn. */
  readonly #next = (): void => {
    this.#begun = this.#sparse = this.#probes = 0;
    this.#scheduled = false;
    this.#turn++;
    const { count: before, since: then } = this.#last;
    this.#last = NOTHING;
    const beside = this.#accepted;
    this.#accepted = false;
    if (this.waiting + this.#known.stale + this.#strangers.stale === 0) return;
    const since = this.#now();
    // All of the turn counts, what was read and who came in it, too.
    if (before > 0 && !beside) this.#atOnce = Math.round(Math.min(MOST, Math.max(LEAST, (before * TURN) / Math.max(0.01, since - then))));
    const atOnce = beside ? LEAST_BESIDE : this.#atOnce;
    let count = 0;
    for (let next = this.#takeOne(); next !== undefined; next = this.#takeOne()) {
      this.#begin(next.item, false);
      if (++count === atOnce) break;
    }
    // To refuse is work, too: fewer are refused than served, and who isn't told yet asks nothing new.
    const most = count + Math.ceil(atOnce * REFUSED);
    for (let stale = this.#takeStale(); stale !== undefined; stale = this.#takeStale()) {
      this.#begin(stale, true);
      if (++count === most) break;
    }
    this.#last = { count, since };
    this.#schedule();
  };

  /** They ran when that function had ended, and before this one. */
  readonly #after = (): void => {
    if (this.#last.count > 0) this.#options.after?.();
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
