import { expect, test } from 'vitest';
import { z } from 'zod';
import { documentFault } from '#broker/document-fault.ts';

const schema = z.strictObject({ grants: z.array(z.object({ api: z.string().regex(/^a$/, 'must be a') })), n: z.number() });

test('places and rules, the first of them, and no value', () => {
  const { error } = schema.safeParse({ grants: [{ api: 'canary' }], n: 'canary' });
  expect(documentFault(error!)).toMatch(/^grants\.0\.api: must be a; n: [^;]+$/);
  expect(documentFault(error!, 1)).toBe('grants.0.api: must be a');
  expect(documentFault(error!)).not.toContain('canary');
});

test('a fault of the whole has no place', () => {
  expect(documentFault(schema.safeParse(undefined).error!)).not.toMatch(/^:/);
});
