import { expect, test } from 'vitest';
import { FairLine } from '#broker/fair-line.ts';
import { Clock } from '#test/unit/credential/clock.ts';

const WAIT = 500;

function stage(waitMs = WAIT) {
  const clock = new Clock();
  const line = new FairLine<string>({ waitMs, now: clock.monotonic });
  /** `come` of each party arrive and one is taken, each so many ms, for so long. @returns how long those that were served had waited */
  const run = (ms: number, eachMs: number, come: Readonly<Record<string, number>>) => {
    const waits: number[] = [];
    const before = line.stale;
    for (let passed = 0; passed < ms; passed += eachMs) {
      for (const [party, count] of Object.entries(come)) for (let i = 0; i < count; i++) line.push(party, party);
      const next = line.take();
      if (next !== undefined) waits.push(next.waited);
      clock.advance(eachMs);
    }
    return { waits, stale: line.stale - before };
  };
  return { clock, line, run };
}

test('each party has its turn, however many of its own wait', () => {
  const { line } = stage();
  for (const n of [1, 2, 3, 4]) line.push('flood', `flood ${n}`);
  line.push('quiet', 'quiet');
  line.push('other', 'other');
  const order = Array.from({ length: 6 }, () => line.take()?.item);
  expect(order).toEqual(['flood 1', 'quiet', 'other', 'flood 2', 'flood 3', 'flood 4']);
  expect([line.take(), line.length, line.parties]).toEqual([undefined, 0, 0]);
});

test('of a line that stands, those that waited too long are stale; the rest are served as fast as before', () => {
  const { line, run } = stage();
  expect(run(2 * WAIT, 1, { flood: 3 }).stale).toBe(0);
  run(10 * WAIT, 1, { flood: 3 });
  const later = run(20 * WAIT, 1, { flood: 3 });
  expect(later.waits).toHaveLength(20 * WAIT);
  expect(Math.max(...later.waits)).toBeLessThan(WAIT);
  // Three come where one is taken.
  expect(later.stale / (20 * WAIT)).toBeCloseTo(2, 1);
  const stale = line.stale;
  expect([line.takeStale(), line.stale]).toEqual(['flood', stale - 1]);
});

test('a party that asks less than its share has none stale while another floods', () => {
  const { clock, line } = stage();
  const quiet: number[] = [];
  for (let ms = 0; ms < 20 * WAIT; ms++) {
    for (let i = 0; i < 5; i++) line.push('flood', 'flood');
    if (ms % 10 === 0) line.push('quiet', 'quiet');
    const next = line.take();
    if (next?.item === 'quiet') quiet.push(next.waited);
    clock.advance(1);
  }
  expect(quiet).toHaveLength(1000);
  expect(Math.max(...quiet)).toBeLessThanOrEqual(2);
  expect(line.stale).toBeGreaterThan(1000);
});

test('a burst is served to its end, however long that takes', () => {
  const { line, run } = stage();
  for (let i = 0; i < 20_000; i++) line.push('burst', 'burst');
  expect(run(20_000, 1, {}).stale).toBe(0);
  expect(line.length).toBe(0);
});

test('a process that stood still makes nothing stale', () => {
  const { clock, run } = stage();
  run(WAIT, 10, { busy: 1 });
  for (let pause = 0; pause < 5; pause++) {
    clock.advance(30_000);
    expect(run(WAIT, 10, { busy: 1 }).stale).toBe(0);
  }
});

test('where waits are short most of the time nothing is stale, though the line is never empty', () => {
  const { line, run } = stage();
  for (let i = 0; i < 20; i++) line.push('busy', 'busy');
  const taken = run(100 * WAIT, 1, { busy: 1 });
  expect(Math.min(...taken.waits.slice(1000))).toBeGreaterThan(0);
  expect(taken.stale).toBe(0);
});

test('once it has been short again, nothing is stale until it stands anew', () => {
  const { line, run } = stage();
  run(20 * WAIT, 1, { flood: 3 });
  while (line.take() !== undefined);
  expect(run(WAIT, 1, { flood: 3 }).stale).toBe(0);
});

test('0 turns it off', () => {
  const { run } = stage(0);
  expect(run(40 * WAIT, 1, { flood: 3 }).stale).toBe(0);
});
