import { expect, test } from 'vitest';
import { useOf } from '#broker/operator/migration/watch.ts';

const day = (number: number, minutes = 0): string => new Date(Date.UTC(2026, 0, number, 0, minutes)).toISOString();
const look = (at: string, since: string, used: string | null = null, tried = used) => ({ at, since, used, tried });
const since = (...looks: Parameters<typeof useOf>[0]) => {
  const found = useOf(looks).since;
  return found === undefined ? undefined : new Date(found).toISOString();
};

test.each([
  ['never looked', [], undefined],
  ['one look sees as far as the log', [look(day(10), day(8))], day(8)],
  ['two that overlap see together', [look(day(10), day(8)), look(day(9), day(6))], day(6)],
  ['in whatever order they stand', [look(day(9), day(6)), look(day(10), day(8))], day(6)],
  ['a gap ends it', [look(day(10), day(8)), look(day(7), day(1))], day(8)],
  ['a look that ends where the next begins has not seen its last minutes', [look(day(10), day(8)), look(day(8, 9), day(1))], day(8)],
  ['ten minutes of overlap are enough', [look(day(10), day(8)), look(day(8, 10), day(1))], day(1)],
  ['a chain over many', [look(day(10), day(9)), look(day(9, 30), day(8)), look(day(8, 30), day(7)), look(day(7, 30), day(6))], day(6)],
  ['an empty log sees nothing back', [look(day(10), day(10)), look(day(9), day(9))], day(10)],
] as const)('%s', (_, looks, expected) => expect(since(...looks)).toBe(expected));

test('the last use is that of any look, the one before a gap too', () => {
  const use = useOf([look(day(20), day(18)), look(day(10), day(8), day(9), day(9, 5))]);
  expect(use).toEqual({ used: Date.parse(day(9)), tried: Date.parse(day(9, 5)), since: Date.parse(day(18)) });
});
