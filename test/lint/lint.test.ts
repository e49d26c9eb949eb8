import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url));

test('make lint passes: style, the import law, types, the form of Terraform files', async () => {
  const { exitCode, all } = await execa('make', ['lint'], { cwd: CHECKOUT, all: true, reject: false });
  expect(all).toBeTypeOf('string');
  expect(exitCode, all).toBe(0);
}, 180_000);
