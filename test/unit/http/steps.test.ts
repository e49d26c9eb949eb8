import { describe, expect, test } from 'vitest';
import { inOrder } from '#broker/http/steps.ts';
import type { Step } from '#broker/http/steps.ts';

interface Request {
  done: string[];
}

function run(steps: Step<Request>[]) {
  const request: Request = { done: [] };
  const failures: unknown[] = [];
  const end = inOrder(steps, (_request: Request, error) => {
    failures.push(error);
    throw error;
  });
  return { request, failures, go: () => end(request) };
}

const now =
  (name: string): Step<Request> =>
  ({ done }) =>
    void done.push(name);
const later =
  (name: string): Step<Request> =>
  async ({ done }) => {
    await Promise.resolve();
    done.push(name);
  };
const fault = new Error('fault');
const throws: Step<Request> = () => {
  throw fault;
};
const rejects: Step<Request> = () => Promise.reject(fault);

describe('steps run in their order', () => {
  test('and end at once where none waits', () => {
    const s = run([now('a'), now('b')]);
    expect(s.go()).toBeUndefined();
    expect(s.request.done).toEqual(['a', 'b']);
  });

  test('each waits for the one before', async () => {
    const s = run([now('a'), later('b'), now('c'), later('d'), later('e'), now('f')]);
    await s.go();
    expect(s.request.done).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });
});

describe('the first error ends it, and is told once', () => {
  test('thrown at once', () => {
    const s = run([now('a'), throws, now('b')]);
    expect(s.go).toThrow(fault);
    expect([s.request.done, s.failures]).toEqual([['a'], [fault]]);
  });

  test.each<[string, Step<Request>[]]>([
    ['rejected first', [now('a'), rejects, now('b')]],
    ['thrown after a wait', [later('a'), throws, now('b')]],
    ['rejected after a wait', [later('a'), rejects, now('b')]],
    ['rejected after two waits', [later('a'), later('-'), rejects, now('b')]],
  ])('%s', async (_how, steps) => {
    const s = run(steps);
    await expect(s.go()).rejects.toBe(fault);
    expect([s.request.done[0], s.request.done.includes('b'), s.failures]).toEqual(['a', false, [fault]]);
  });
});
