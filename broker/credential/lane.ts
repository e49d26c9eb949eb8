import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';

/** Share of the time in which the lane is at work. */
const DUTY = 0.1;
/** Work that may wait; with some tenths of a millisecond each, and ten times that for the pause, a quarter of a second. */
const QUEUE = 100;

/**
 * For work that somebody suspected has us do: one piece at a time, with pauses, so that all of it takes a tenth of a processor
 * however much is asked for.
 */
export class Lane {
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @throws {PosternError} too_many_requests, without doing it */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= QUEUE)
      throw new PosternError('too_many_requests', 'Too many wrong credentials, try again later', { retryAfter: 1 });
    this.#waiting++;
    const done = this.#turn.then(async () => {
      this.#waiting--;
      const begun = performance.now();
      try {
        return { value: await work(), took: performance.now() - begun };
      } catch (error) {
        return { error, took: performance.now() - begun };
      }
    });
    this.#turn = done.then(({ took }) => sleep((took * (1 - DUTY)) / DUTY, undefined, { ref: false }));
    const ended = await done;
    if ('error' in ended) throw ended.error;
    return ended.value;
  }
}
