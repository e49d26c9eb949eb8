export interface RationOptions {
  /** Lines in one interval. */
  lines: number;
  /** ms. Default 60,000. */
  intervalMs?: number;
  /** Told what got no line, if anything did: how often by kind, in so many seconds. */
  tell: (counts: Readonly<Record<string, number>>, seconds: number) => void;
  /** Told that an interval is over, after that. */
  onEnd?: () => void;
}

/** Lets so many lines through in an interval and counts the rest, so that nobody can fill a disk by being refused. */
export class Ration {
  readonly #options: RationOptions;
  #left: number;
  #begun = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Kinds are ours, and few. */
  readonly #counts = new Map<string, number>();

  constructor(options: RationOptions) {
    this.#options = options;
    this.#left = options.lines;
  }

  /** Whether something of this kind may have a line of its own; else it is counted. */
  admits(kind: string): boolean {
    if (this.#timer === undefined) {
      this.#begun = performance.now();
      this.#timer = setTimeout(() => this.end(), this.#options.intervalMs ?? 60_000).unref();
    }
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    return false;
  }

  /** Ends the interval, also before its time: at the end of the process. */
  end(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left = this.#options.lines;
    if (this.#counts.size > 0) {
      const counts = Object.fromEntries(this.#counts);
      this.#counts.clear();
      this.#options.tell(counts, Math.round((performance.now() - this.#begun) / 1000));
    }
    this.#options.onEnd?.();
  }
}
