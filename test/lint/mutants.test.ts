import { expect, test } from 'vitest';
import { misfits } from '#test/mutants/misfits.ts';
import { rooms } from '#test/mutants/rooms.ts';

test('the faults of make mutants fit the code that they are put into', () => {
  expect(rooms.flatMap(misfits)).toEqual([]);
});
