/**
 * Does work for each item, at most `width` at once, and returns the results in the items' order. After a failure no further
 * item is begun; those under way are waited for.
 */
export async function inParallel<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next;
      next += 1;
      try {
        results[at] = await work(items[at] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return results;
}

/** Results that may wait for an earlier one, for each item at work. */
const AHEAD = 4;

/**
 * The same, each result as soon as those before it are there. Whatever the number of items, no more results than `4 * width` are held;
 * whoever stops early lets what is under way end by itself.
 */
export async function* inOrder<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  let running = 0;
  let next = 0;
  const begin = (): void => {
    while (running < width && begun.length < width * AHEAD && next < items.length) {
      const one = work(items[next] as T).finally(() => {
        running -= 1;
        begin();
      });
      // Told where it is awaited, which may be later.
      one.catch(() => {});
      next += 1;
      running += 1;
      begun.push(one);
    }
  };
  try {
    begin();
    while (begun.length > 0) {
      const result = await begun[0]!;
      void begun.shift();
      begin();
      yield result;
    }
  } finally {
    next = items.length;
    await Promise.allSettled(begun);
  }
}
