import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { clockOf } from '#broker/clock.ts';
import { checkAndSet } from '#broker/operator/check-and-set.ts';

const conflict = new PosternError('conflict', 'somebody else was faster');

// The pause between two attempts is a random share of its longest.
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0));
afterEach(() => void vi.restoreAllMocks());

/** @param answers what the writes end with, one after another; the last for ever */
function stage(...answers: (string | Error)[]) {
  const write = vi.fn(async () => {
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return { write, prepare: vi.fn(async () => write) };
}

describe('a change by check-and-set', () => {
  test('that loses races is prepared anew for each attempt', async () => {
    const { prepare, write } = stage(conflict, conflict, 'written');
    expect(await checkAndSet(clockOf({}), prepare)).toBe('written');
    expect([prepare.mock.calls.length, write.mock.calls.length]).toEqual([3, 3]);
  });

  test('that loses every race gives up', async () => {
    const { prepare, write } = stage(conflict);
    await expect(checkAndSet(clockOf({}), prepare)).rejects.toBe(conflict);
    expect(write).toHaveBeenCalledTimes(50);
  });

  test('whose write fails otherwise is not repeated', async () => {
    const away = new PosternError('temporarily_unavailable', 'away');
    const { prepare, write } = stage(away);
    await expect(checkAndSet(clockOf({}), prepare)).rejects.toBe(away);
    expect(write).toHaveBeenCalledTimes(1);
  });

  test('that finds a conflict in what it reads is refused at once', async () => {
    const prepare = vi.fn(() => Promise.reject(conflict));
    await expect(checkAndSet(clockOf({}), prepare)).rejects.toBe(conflict);
    expect(prepare).toHaveBeenCalledTimes(1);
  });
});
