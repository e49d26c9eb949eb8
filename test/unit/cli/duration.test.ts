import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import { count, inWords, moment, seconds } from '#cli/command/duration.ts';

describe('seconds', () => {
  test.each([
    ['0', 0],
    ['90', 90],
    ['90s', 90],
    ['15m', 900],
    ['12h', 43_200],
    ['30d', 2_592_000],
    ['2w', 1_209_600],
    ['1y', 31_536_000],
    ['1h30m', 5_400],
  ])('%s is %i', (text, expected) => {
    expect(seconds(text)).toBe(expected);
  });

  test.each(['', ' ', '-1', '1.5h', 'h', '5x', '1h 30m', '90 s', '1e3', '0x10', '99999999999', '1h30', '٣'])('%j is refused', (text) => {
    expect(() => seconds(text)).toThrow(InvalidArgumentError);
  });
});

test.each(['', '-1', '1.5', 'many', '+1', '1e3'])('%j is not a count', (text) => {
  expect(() => count(text)).toThrow(InvalidArgumentError);
});

test.each([
  [0, '0 seconds'],
  [1, '1 second'],
  [60, '1 minute'],
  [61, '1 minute 1 second'],
  [3_600, '1 hour'],
  // The larger unit and the one below it, or it alone.
  [3_605, '1 hour'],
  [86_400 + 3_600 * 2 + 60, '1 day 2 hours'],
  [31_536_000, '365 days'],
])('%i s are %s', (total, words) => {
  expect(inWords(total)).toBe(words);
});

test('a moment says how far it is', () => {
  const now = Date.parse('2026-11-24T07:00:00Z');
  expect(moment('2026-11-24T08:30:00.123Z', 'never', now)).toBe('2026-11-24 08:30Z (in 1 hour 30 minutes)');
  expect(moment('2026-11-24T06:59:00Z', 'never', now)).toBe('2026-11-24 06:59Z (1 minute ago)');
  expect(moment(null, 'never', now)).toBe('never');
});
