import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Answers, row } from '#test/fault/seen.ts';

/* What `make faults` says is counted here, so that docs/faults.md tells the truth. */

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

function answered(...of: readonly (readonly [outcome: string, after: number, ms: number])[]): Answers {
  const answers = new Answers();
  for (const [outcome, after, ms] of of) {
    vi.advanceTimersByTime(after);
    answers.note(outcome, ms);
  }
  return answers;
}

it('a gap is the time between two that were served, before the first and after the last too', () => {
  const answers = answered(['200', 50, 1], ['503', 100, 1], ['200', 100, 1]);
  expect(answers.longestGap).toBe(200);
  vi.advanceTimersByTime(300);
  answers.close();
  expect(answers.longestGap).toBe(300);
  const late = answered(['200', 400, 1]);
  expect(late.longestGap).toBe(400);
});

it('waits are of those that were served, refusals of the others', () => {
  const answers = answered(['200', 0, 5], ['200', 0, 7], ['200', 0, 9], ['503', 0, 2_000], ['no answer: ECONNRESET', 0, 3_000]);
  expect([answers.asked, answers.served, answers.errors]).toEqual([5, 3, { '503': 1, 'no answer: ECONNRESET': 1 }]);
  expect([answers.wait(0.5), answers.wait(1), answers.refusal(0.5), answers.refusal(1)]).toEqual([7, 9, 2_000, 3_000]);
  expect(answered().wait(0.5)).toBeNaN();
});

it('a row of the table names each kind of error', () => {
  const hits = answered(['200', 10, 4], ['200', 20, 6]);
  const cold = answered(['503', 5, 3], ['503', 5, 3], ['200', 5, 40]);
  const seen = { fault: 'leader frozen', seconds: 30.4, hits, cold, wrong: ['it is acme’s'], upstream: 2 };
  expect(row(seen)).toBe('| leader frozen (30 s) | 2, 0 | 20 ms, 4 ms | 3, 2 × 503 (3 ms) | 15 ms | 1 | 2 |');
});
