import { expect, test } from 'vitest';
import { ClockDifference } from '#broker/clock-difference.ts';

function stage(agree = 3) {
  const at = { now: Date.parse('2026-01-01T00:00:00.400Z'), monotonic: 5_000 };
  const difference = new ClockDifference({ now: () => at.now, monotonic: () => at.monotonic, agree });
  const pass = (ms: number): void => {
    at.now += ms;
    at.monotonic += ms;
  };
  /** An answer of a clock that is so far ahead of ours. */
  const answer = (ahead: number, tookMs = 10): void => difference.observe(new Date(at.now + ahead).toUTCString(), tookMs);
  return { at, difference, pass, answer };
}

test('as many answers as agree are needed, and the least difference counts', () => {
  const { difference, answer } = stage();
  answer(60_000);
  answer(60_000);
  expect(difference.ms).toBe(0);
  answer(60_000);
  expect(difference.ms).toBeGreaterThan(59_000);
  expect(difference.ms).toBeLessThanOrEqual(60_000);
  answer(0);
  expect(difference.ms).toBe(0);
});

test.each([0, 400, -400, 999, -200])('a second, or the time that the answer took, is no difference: %i ms', (ahead) => {
  const { difference, answer } = stage(1);
  answer(ahead);
  expect(Math.abs(difference.ms)).toBeLessThan(1_000);
  answer(-2_000, 2_900);
  expect(difference.ms).toBe(0);
});

test('an answer that took long, as a long list does, says nothing against those that did not', () => {
  const { difference, answer } = stage(3);
  for (let n = 0; n < 3; n++) answer(-15_000);
  const known = difference.ms;
  expect(known).toBeLessThan(-14_000);
  answer(-15_000, 11_000);
  expect(difference.ms).toBe(known);
});

test('both directions are told', () => {
  const { difference, answer } = stage(1);
  answer(-400_000);
  expect(difference.ms).toBeLessThan(-399_000 + 1);
  expect(difference.ms).toBeGreaterThanOrEqual(-400_000);
});

test('a step of our own clock shows at once, and so does its end', () => {
  const { at, difference, answer } = stage();
  for (let i = 0; i < 3; i++) answer(0);
  at.now += 360_000;
  expect(Math.round(difference.ms / 1_000)).toBeCloseTo(-360, -1);
  at.now -= 360_000;
  expect(difference.ms).toBe(0);
});

test('a laptop that slept in between, which stops the monotonic clock, is corrected by the next answers', () => {
  const { at, difference, answer } = stage();
  for (let i = 0; i < 3; i++) answer(0);
  at.now += 3_600_000;
  for (let i = 0; i < 3; i++) answer(0);
  expect(difference.ms).toBe(0);
});

test('what is old or no date says nothing', () => {
  const { difference, pass, answer } = stage(1);
  difference.observe('yesterday', 1);
  difference.observe(undefined, 1);
  difference.observe(null, 1);
  expect(difference.ms).toBe(0);
  answer(90_000);
  pass(599_000);
  expect(difference.ms).not.toBe(0);
  pass(2_000);
  expect(difference.ms).toBe(0);
});

test('what was observed last holds on for what ends by their clock, while nobody answers', () => {
  const { at, difference, pass, answer } = stage();
  expect(difference.behind).toBe(0);
  for (let times = 0; times < 3; times++) answer(240_000);
  pass(3_600_000);
  expect(difference.ms).toBe(0);
  expect(difference.behind).toBeGreaterThanOrEqual(240_000);
  expect(difference.behind).toBeLessThanOrEqual(241_000);
  at.now += 240_000;
  expect(difference.behind).toBe(0);
});

test('it is so late at least: by the earlier of both clocks, and by no step of our own', () => {
  const { at, difference, pass, answer } = stage();
  answer(0);
  answer(0);
  // What theirs is isn't known yet, and ours may have been set wrong before this process began.
  expect(difference.earliest).toBe(-Infinity);
  answer(0);
  const right = at.now;
  expect(difference.earliest).toBeLessThanOrEqual(right);
  expect(difference.earliest).toBeGreaterThan(right - 1_000);
  at.now += 7_200_000;
  expect(difference.earliest).toBeLessThanOrEqual(right);
  pass(3_600_000);
  expect(difference.earliest).toBeLessThanOrEqual(right + 3_600_000);
  expect(difference.earliest).toBeGreaterThan(right + 3_599_000);
  at.now = right - 60_000;
  expect(difference.earliest).toBe(right - 60_000);
});

test('somebody whose answers have no Date leaves us to our own clock', () => {
  const { at, difference } = stage();
  difference.observe(undefined, 10);
  expect([difference.earliest, difference.theirs, difference.latest, difference.ahead]).toEqual([at.now, at.now, at.now, 0]);
});

test('their time is told whichever clock is ahead; what others stamped ends by the later one', () => {
  const { at, difference, pass, answer } = stage();
  for (const off of [120_000, -120_000]) {
    for (let times = 0; times < 3; times++) answer(off);
    expect(Math.abs(difference.theirs - (at.now + off))).toBeLessThan(1_010);
    const late = difference.latest - (at.now + Math.max(0, off));
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThanOrEqual(1_010);
    expect(difference.ahead > 118_000).toBe(off < 0);
  }
  // A machine that slept seems to be ahead: nothing lives on by that for long.
  pass(61_000);
  expect(difference.ahead).toBe(0);
});
