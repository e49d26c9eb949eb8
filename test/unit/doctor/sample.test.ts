import { expect, test } from 'vitest';
import { outOf, sampleOf } from '#broker/doctor/sample.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `t${String(at).padStart(5, '0')}`);
const indexOf = (all: readonly string[], { without = [] as readonly string[] } = {}) => ({
  names: all,
  roles: new Set(all),
  documents: new Set(all.filter((name) => !without.includes(name))),
});

test('as many as there are: each, and nothing is said of chance', () => {
  const sample = sampleOf(indexOf(names(1000)), 1000);
  expect(sample.index.names).toEqual(names(1000));
  expect(outOf(sample)).toBe('1000');
});

test('of more: so many, each once, in order, others at each look', () => {
  const all = names(10_000);
  const looks = [1, 2].map(() => sampleOf(indexOf(all), 1000));
  for (const { index, of } of looks) {
    expect(of).toBe(10_000);
    expect(new Set(index.names).size).toBe(1000);
    expect(index.names).toEqual(index.names.toSorted());
    expect(index.names.every((name) => all.includes(name))).toBe(true);
  }
  expect(looks[0]!.index.names).not.toEqual(looks[1]!.index.names);
  expect(outOf(looks[0]!)).toBe('1000 of 10000, chosen at random (--tenants all looks at each)');
});

test('every one may be chosen', () => {
  const seen = new Set<string>();
  for (let look = 0; look < 500; look += 1) for (const name of sampleOf(indexOf(names(20)), 5).index.names) seen.add(name);
  expect([...seen].toSorted()).toEqual(names(20));
});

test('one that has a role or a document alone is always looked at', () => {
  const all = names(5000);
  expect(sampleOf(indexOf(all, { without: ['t00007', 't04711'] }), 10).index.names).toEqual(expect.arrayContaining(['t00007', 't04711']));
  expect(sampleOf(indexOf(all, { without: all }), 10).index.names).toEqual(all.slice(0, 10));
});
