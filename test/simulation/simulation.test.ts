import { expect, test } from 'vitest';
import { misfits } from '#test/mutants/misfits.ts';
import { faults } from './faults.ts';
import { planOf } from './plan.ts';
import { simulate } from './simulation.ts';

/** Always the same seeds; `make simulate` plays more. */
const SEEDS = 30;
/** That broke a rule once: docs/testing.md tells which. */
const BROKE = [
  97, 242, 1547, 2008, 2167, 2370, 2924, 3245, 3648, 3812, 3920, 4335, 4919, 8359, 10_545, 12_369, 12_829, 15_026, 15_756, 19_307, 20_989,
  22_741, 26_554, 31_131, 40_742, 40_983, 53_934, 63_217, 86_775,
];
/** For so many seconds seeds that nobody has tried; 0: none. */
const FRESH = Number(process.env['POSTERN_SIMULATION_FRESH'] ?? 10);

/** @returns how many requests were served */
async function play(from: number, seeds: number): Promise<number> {
  let served = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = await simulate(planOf(seed));
    expect(outcome.violation, `again: make simulate ARGS='--seed ${seed}'`).toBeUndefined();
    served += outcome.served;
  }
  return served;
}

test('the same seed plays the same history, and another seed another', async () => {
  const [first, again, other] = [await simulate(planOf(7)), await simulate(planOf(7)), await simulate(planOf(8))];
  expect(first.history.length).toBeGreaterThan(20);
  expect(again.digest).toBe(first.digest);
  expect(again.history).toEqual(first.history);
  expect(other.digest).not.toBe(first.digest);
});

test('nothing that must never be happens, in seeds that are always the same', async () => {
  // Else it would be easy.
  expect(await play(1, SEEDS)).toBeGreaterThan(10 * SEEDS);
}, 120_000);

test.each(BROKE)('nothing that must never be happens in seed %d, in which it did', async (seed) => {
  await play(seed, 1);
});

if (FRESH > 0)
  test(
    'nothing that must never be happens, in seeds that nobody has tried',
    async () => {
      const until = performance.now() + FRESH * 1_000;
      for (let seed = 1_000_000 + Math.floor(Math.random() * 1_000_000_000); performance.now() < until; seed++) await play(seed, 1);
    },
    (FRESH + 60) * 1_000,
  );

test('each fault that is put back for `make simulate ARGS=--bite` fits the code', () => {
  expect(misfits(faults)).toEqual([]);
});
