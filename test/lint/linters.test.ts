import { execa } from 'execa';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

test('make linters passes: style, format, types, the import law, the form of Terraform files', async () => {
  const { exitCode, all } = await execa('make', ['linters'], { cwd: checkout, all: true, reject: false });
  expect(exitCode, all).toBe(0);
}, 180_000);
