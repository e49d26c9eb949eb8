import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { inParallel } from '#broker/operator/parallel.ts';

test('never more at once than said, results in order', async () => {
  let running = 0;
  let most = 0;
  const items = Array.from({ length: 50 }, (_, n) => n);
  const results = await inParallel(items, 4, async (n) => {
    running += 1;
    most = Math.max(most, running);
    await sleep((50 - n) % 3);
    running -= 1;
    return n * 2;
  });
  expect(results).toEqual(items.map((n) => n * 2));
  expect(most).toBe(4);
  expect(await inParallel([], 4, async () => 1)).toEqual([]);
});

test('a failure begins nothing more, and waits for what is under way', async () => {
  let begun = 0;
  let ended = 0;
  const work = inParallel(
    Array.from({ length: 20 }, (_, n) => n),
    3,
    async (n) => {
      begun += 1;
      await sleep(5);
      ended += 1;
      if (n === 1) throw new Error('broken');
    },
  );
  await expect(work).rejects.toThrow('broken');
  expect(begun).toBeLessThan(8);
  expect(ended).toBe(begun);
});
