import { expect, test } from 'vitest';
import { misfits } from '#test/mutants/misfits.ts';
import { rooms } from '#test/mutants/rooms.ts';

test('the faults of make mutants fit the code that they are put into', () => {
  expect(rooms.flatMap(misfits)).toEqual([]);
});

test('each has a name of its own, by which it is asked for', () => {
  const names = rooms.flatMap((room) => Object.values(room).flatMap((mutants) => mutants.map(([name]) => name)));
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});
