import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { registeredSecrets } from '#test/fixture/ledger.ts';
import { LeakSearch } from './search.ts';

it('no secret that any test used stands in any log, in any spelling', () => {
  const folder = process.env['POSTERN_TEST_LOGS'];
  if (!folder) throw new Error("no log folder: run it by vitest's set-up");
  const secrets = registeredSecrets();
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const logs = files.map((entry) => ({ name: entry.name, text: readFileSync(join(entry.parentPath, entry.name), 'latin1') }));
  // A search that has nothing to look for, or nowhere to look, proves nothing.
  expect(secrets.length, 'secrets in the ledger').toBeGreaterThan(0);
  expect(
    logs.reduce((size, log) => size + log.text.length, 0),
    'bytes of logs',
  ).toBeGreaterThan(0);
  const search = new LeakSearch(secrets);
  const found = logs.flatMap(({ name, text }) => search.in(text).map((kind) => `${kind} in ${name}`));
  expect(found).toEqual([]);
});
