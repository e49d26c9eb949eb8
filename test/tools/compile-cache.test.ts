import { getCompileCacheDir } from 'node:module';
import { expect, test } from 'vitest';
import { keptCompiled } from '#test/fixture/compile-cache.ts';

test("processes of ours share what V8 compiled; vitest's workers don't, which the end of the run would kill while they write it", () => {
  const run = process.env['POSTERN_TEST_RUN'];
  expect(keptCompiled().NODE_COMPILE_CACHE).toContain(run);
  expect(getCompileCacheDir() ?? '').not.toContain(run);
});
