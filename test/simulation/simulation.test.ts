import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';
import { faults } from './faults.ts';
import { planOf } from './plan.ts';
import { simulate } from './simulation.ts';

/** ms that seeds may take here; `make simulate` plays more. */
const FIXED = 6_000;
const FRESH = 5_000;

/** Seeds one after the other, as many as there is time for, and five at least. */
async function play(from: number, ms: number): Promise<{ readonly played: number; readonly served: number }> {
  const until = performance.now() + ms;
  let served = 0;
  let played = 0;
  for (; played < 5 || performance.now() < until; played++) {
    const outcome = await simulate(planOf(from + played));
    expect(outcome.violation, `again: make simulate ARGS='--seed ${from + played}'`).toBeUndefined();
    served += outcome.served;
  }
  return { played, served };
}

test('the same seed plays the same history, and another seed another', async () => {
  const [first, again, other] = [await simulate(planOf(7)), await simulate(planOf(7)), await simulate(planOf(8))];
  expect(first.history.length).toBeGreaterThan(20);
  expect(again.digest).toBe(first.digest);
  expect(again.history).toEqual(first.history);
  expect(other.digest).not.toBe(first.digest);
});

test('nothing that must never be happens, in seeds that are always the same', async () => {
  const { played, served } = await play(1, FIXED);
  // Else it would be easy.
  expect(served).toBeGreaterThan(10 * played);
});

test('nothing that must never be happens, in seeds that nobody has tried', async () => {
  await play(1_000_000 + Math.floor(Math.random() * 1_000_000_000), FRESH);
});

test('each fault that is put back for `make simulate ARGS=--bite` fits the code', () => {
  const misfits = Object.entries(faults).flatMap(([file, list]) => {
    const source = readFileSync(join(checkout, file), 'utf8');
    return list.filter(([, find]) => source.split(find).length !== 2).map(([name]) => `${file}: ${name}`);
  });
  expect(misfits).toEqual([]);
});
