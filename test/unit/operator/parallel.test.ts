import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { inOrder, inParallel } from '#broker/operator/parallel.ts';

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

test('in order: each result as soon as those before it are there, and never many more than are at work', async () => {
  let running = 0;
  let most = 0;
  let begun = 0;
  let taken = 0;
  const items = Array.from({ length: 200 }, (_, n) => n);
  const results: number[] = [];
  const work = inOrder(items, 4, async (n) => {
    begun += 1;
    running += 1;
    most = Math.max(most, running);
    expect(begun - taken).toBeLessThanOrEqual(17);
    await sleep(n === 0 ? 20 : 0);
    running -= 1;
    return n;
  });
  for await (const one of work) {
    taken += 1;
    results.push(one);
  }
  expect(results).toEqual(items);
  expect(most).toBe(4);
});

test('in order: a failure is told in its place, and begins nothing more; who stops early begins nothing more either', async () => {
  for (const end of ['failure', 'stop']) {
    let begun = 0;
    let running = 0;
    const seen: number[] = [];
    const work = inOrder(
      Array.from({ length: 100 }, (_, n) => n),
      3,
      async (n) => {
        begun += 1;
        running += 1;
        await sleep(1);
        running -= 1;
        if (end === 'failure' && n === 5) throw new Error('broken');
        return n;
      },
    );
    const read = async (): Promise<void> => {
      for await (const one of work) {
        seen.push(one);
        if (end === 'stop' && one === 4) break;
      }
    };
    await (end === 'failure' ? expect(read()).rejects.toThrow('broken') : read());
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(begun).toBeLessThan(30);
    expect(running).toBe(0);
  }
});
