import { expect, test } from 'vitest';
import { Progress } from '#broker/wiring/progress.ts';

function stage() {
  const now = { lacking: ['login to Vault'] as string[], shutOut: [] as string[], degraded: [] as string[] };
  const progress = new Progress({
    lacking: () => now.lacking,
    shutOut: () => now.shutOut,
    degraded: () => now.degraded,
    warnings: () => [],
  });
  return { now, progress };
}

test('it is ready when nothing lacks, and then stays so while Vault is away', () => {
  const { now, progress } = stage();
  expect(progress.missing()).toEqual(['login to Vault']);
  now.lacking = [];
  expect(progress.missing()).toEqual([]);
  now.lacking = ['login to Vault'];
  now.degraded = ['Vault has not answered for 40 s'];
  expect(progress.missing()).toEqual([]);
  expect(progress.degraded()).toEqual(now.degraded);
});

test('what hits this replica alone makes it unready, until that is over', () => {
  const { now, progress } = stage();
  now.lacking = [];
  progress.missing();
  now.shutOut = ['a token of its own'];
  expect(progress.missing()).toEqual(['a token of its own']);
  now.shutOut = [];
  expect(progress.missing()).toEqual([]);
});

test('at the end it is not ready, for good', () => {
  const { now, progress } = stage();
  now.lacking = [];
  progress.drain();
  expect(progress.missing()).toEqual(['shutting down']);
});
