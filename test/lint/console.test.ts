import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PAGES, buildConsole } from '#tools/console/build.ts';
import { checkout } from '#tools/part/version.ts';

test('the console in the broker is what console/ makes: `make console` after a change', async () => {
  expect((await buildConsole()) === (await readFile(join(checkout, PAGES), 'utf8'))).toBe(true);
});
