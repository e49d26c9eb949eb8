import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { NOT_ON_OPENBAO, ON_OPENBAO } from '#test/openbao.ts';
import { checkout } from '#tools/part/version.ts';

it('what runs on OpenBao is there, and so is what does not, each with its reason', () => {
  for (const path of [...ON_OPENBAO, ...Object.keys(NOT_ON_OPENBAO)]) expect(existsSync(join(checkout, path)), path).toBe(true);
  for (const [path, reason] of Object.entries(NOT_ON_OPENBAO)) expect(reason.length, path).toBeGreaterThan(10);
  // Fewer is better; more is a product that was let go.
  expect(Object.keys(NOT_ON_OPENBAO).length).toBeLessThanOrEqual(2);
});

it.each(['exchange', 'doors', 'policy', 'plugin-lifecycle', 'terraform', 'cli', 'cli-doctor'])('%s runs on it each time', (name) => {
  expect(ON_OPENBAO).toContain(`test/integration/${name}.test.ts`);
});
