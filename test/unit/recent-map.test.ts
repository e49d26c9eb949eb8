import { expect, test } from 'vitest';
import { RecentMap } from '#broker/recent-map.ts';

test('of more than so many, those that were set longest ago go, however often they were read', () => {
  const map = new RecentMap<string, number>(3);
  for (const [at, key] of ['a', 'b', 'c', 'a'].entries()) map.set(key, at);
  map.get('b');
  map.set('d', 4);
  expect([...map]).toEqual([
    ['c', 2],
    ['a', 3],
    ['d', 4],
  ]);
});

test('a large one makes room for some at once, and never holds more than so many', () => {
  const map = new RecentMap<number, true>(1_000);
  for (let key = 0; key < 10_000; key++) {
    map.set(key, true);
    expect(map.size).toBeLessThanOrEqual(1_000);
    expect(map.has(key)).toBe(true);
  }
  expect(map.size).toBeGreaterThan(980);
  expect([...map.keys()]).toEqual(Array.from({ length: map.size }, (_, at) => 10_000 - map.size + at));
});
