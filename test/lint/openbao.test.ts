import { globSync } from 'node:fs';
import { expect, it } from 'vitest';
import { NOT_ON_OPENBAO } from '#test/openbao.ts';
import { checkout } from '#tools/part/version.ts';

/** Patterns in the list today. Fewer is better; more is a product that was let go. */
const MOST = 25;

it('what is left out on OpenBao is a list that only gets shorter, of files that are there, each with its reason', () => {
  const entries = Object.entries(NOT_ON_OPENBAO);
  expect(entries.length).toBeLessThanOrEqual(MOST);
  for (const [pattern, reason] of entries) {
    expect(globSync(pattern, { cwd: checkout }), pattern).not.toEqual([]);
    expect(reason.length, pattern).toBeGreaterThan(10);
  }
});

it.each(['exchange', 'doors', 'verify', 'token-exchange', 'wire', 'api-key-address', 'cli-interrupt', 'cli', 'admin', 'life-cycle'])(
  '%s runs on it',
  (name) => {
    expect(Object.keys(NOT_ON_OPENBAO)).not.toContain(`test/integration/${name}.test.ts`);
  },
);
