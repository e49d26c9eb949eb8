/** A heap of numbered things by the time at which each is due next; all are in it from the start. */
export class Queue {
  readonly #at: Float64Array;
  readonly #heap: Int32Array;

  constructor(at: Float64Array) {
    this.#at = at;
    this.#heap = Int32Array.from(at.keys());
    for (let i = (at.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** The one that is due first. */
  get first(): number {
    return this.#heap[0]!;
  }

  /** When. */
  get due(): number {
    return this.#at[this.#heap[0]!]!;
  }

  /** The first one is due again then. */
  later(at: number): void {
    this.#at[this.#heap[0]!] = at;
    this.#sink(0);
  }

  #sink(from: number): void {
    const [at, heap] = [this.#at, this.#heap];
    const { length } = heap;
    const one = heap[from]!;
    const due = at[one]!;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= length) break;
      if (child + 1 < length && at[heap[child + 1]!]! < at[heap[child]!]!) child++;
      if (at[heap[child]!]! >= due) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = one;
  }
}
