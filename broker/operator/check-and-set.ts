import type { Clock } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';

/** Each lost race means that somebody else's change went through. */
const ATTEMPTS = 50;

/**
 * Repeats a change of a document that several operators change at once, until nobody writes in between.
 * @param prepare reads the document anew and returns the write of its successor; what it throws passes, since a conflict that it finds is
 * not a lost race
 * @throws {PosternError} conflict after 50 lost races
 */
export async function checkAndSet<T>(
  { sleep, random }: Pick<Clock, 'sleep' | 'random'>,
  prepare: () => Promise<() => Promise<T>>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    const write = await prepare();
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'conflict') || attempt === ATTEMPTS) throw error;
      await sleep(random() * 20 * Math.min(attempt, 10));
    }
  }
}
