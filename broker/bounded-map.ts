import { LRUCache } from 'lru-cache';

/**
 * At most so many entries, least recently used out first. By `max` alone lru-cache takes the memory of all of them when it is made, which took
 * a third of a broker's start; told that each entry has the size 1, it grows with them.
 */
export class BoundedMap<K extends {}, V extends {}> extends LRUCache<K, V> {
  /** @param max entries, 1 at least */
  constructor(max: number) {
    super({ maxSize: max, sizeCalculation: () => 1 });
  }
}
