import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

test('processes that are at work in one cache sweep nothing away that another needs', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'postern-cache-'));
  const script = `
    import { inScratch } from '#tools/part/cache.ts';
    for (let time = 0; time < 300; time++) await inScratch(${JSON.stringify(cache)}, async () => {});`;
  const one = () => execa(process.execPath, ['--input-type=module', '--eval', script], { cwd: checkout });
  await Promise.all([one(), one(), one()]);
  expect(await readdir(join(cache, 'tmp'))).toEqual([]);
  await rm(cache, { recursive: true });
});
