/** Of the entries, this part makes room at once: each look for the oldest one alone would pass by all that went before it. */
const PART = 1 / 64;

/**
 * At most so many entries; those that were set longest ago go first, and reading one changes nothing. It takes a third of what a
 * `BoundedMap` takes for an entry.
 */
export class RecentMap<K, V> extends Map<K, V> {
  readonly #max: number;

  /** @param max entries, 1 at least */
  constructor(max: number) {
    super();
    this.#max = max;
  }

  override set(key: K, value: V): this {
    super.delete(key);
    super.set(key, value);
    if (this.size > this.#max) this.#makeRoom();
    return this;
  }

  #makeRoom(): void {
    let left = Math.max(1, Math.floor(this.#max * PART));
    for (const key of this.keys()) {
      this.delete(key);
      if (--left === 0) return;
    }
  }
}
