import { expect, test } from 'vitest';
import { tryDoors } from './doors.ts';

test('100 × 100 tenants and APIs, random doors, many at once: no answer is for another tenant', { timeout: 400_000 }, async () => {
  const { requests, granted, refused, doors, wrong } = await tryDoors({ requests: 5_000 });
  process.stderr.write(`random doors: ${granted} granted, ${refused} refused of ${requests}: ${JSON.stringify(doors)}\n`);
  expect(wrong).toEqual([]);
  expect(granted + refused).toBe(requests);
  // Three tenths of the matrix are granted, and each door was tried often.
  expect(granted / requests).toBeGreaterThan(0.2);
  expect(Math.min(...Object.values(doors))).toBeGreaterThan(300);
  expect(Object.keys(doors)).toHaveLength(9);
});
