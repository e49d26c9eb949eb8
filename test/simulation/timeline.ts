interface Entry {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
  taken: boolean;
}

/** When simulated time begins, ms since 1970. */
export const EPOCH = Date.UTC(2027, 0, 1);

/**
 * Virtual time. Whatever waits, waits here: one step after the other, in the order of their times, and between two steps all that follows
 * at once from the first.
 */
export class Timeline {
  #now = 0;
  #order = 0;
  readonly #heap: Entry[] = [];
  #waiting = 0;

  /** ms since the start. */
  get now(): number {
    return this.#now;
  }

  /** Steps that are still to come. */
  get waiting(): number {
    return this.#waiting;
  }

  /** @returns takes it back */
  after(ms: number, work: () => void): () => void {
    const entry = { at: this.#now + Math.max(0, ms), order: this.#order++, work, taken: false };
    this.#push(entry);
    this.#waiting++;
    return () => {
      if (!entry.taken) this.#waiting--;
      entry.taken = true;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /**
   * @param settled looked at after each step; true ends it
   * @returns how many steps there were
   */
  async run(until: number, settled: () => boolean): Promise<number> {
    let steps = 0;
    for (;;) {
      // Promises that are ready, and what they lead to.
      await new Promise((resolve) => setImmediate(resolve));
      if (settled()) return steps;
      const next = this.#pop();
      if (next === undefined || next.at > until) {
        if (next !== undefined) this.#push(next);
        this.#now = Math.max(this.#now, until);
        return steps;
      }
      if (next.taken) continue;
      next.taken = true;
      this.#waiting--;
      this.#now = next.at;
      steps++;
      next.work();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent]!, entry)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    // What was taken back isn't a step.
    for (;;) {
      const [first] = heap;
      const last = heap.pop();
      if (first === undefined || last === undefined) return undefined;
      if (heap.length > 0) this.#sink(last);
      if (!first.taken) return first;
    }
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(entry, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = entry;
  }
}

function before(one: Entry, other: Entry): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
