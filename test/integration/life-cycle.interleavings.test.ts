import { expect, test } from 'vitest';
import { interleave } from './life-cycle.interleavings.ts';

/** A run of everything has few; `POSTERN_INTERLEAVINGS=1000` is the number in docs/numbers.md. */
const RUNS = Number(process.env['POSTERN_INTERLEAVINGS'] ?? 40);

test(
  `${RUNS} random interleavings of events and exchanges: no token to whom it should not go`,
  async () => {
    const start = performance.now();
    const { runs, exchanges, granted, wrong } = await interleave({ runs: RUNS, atOnce: Math.min(RUNS, 20) });
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`${runs} interleavings, ${exchanges} exchanges, ${granted} tokens, ${wrong.length} wrong ones, ${seconds} s`);
    expect(wrong).toEqual([]);
    expect(runs).toBeGreaterThanOrEqual(RUNS);
    // Else nothing was tried.
    expect(granted).toBeGreaterThan(RUNS);
    expect(granted).toBeLessThan(exchanges);
  },
  120_000 + RUNS * 3_000,
);
