import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

const LONGEST = 140;
/** Where a line can't be broken: in a template literal, and in a text or a regular expression without spaces. */
const UNBREAKABLE = /`|\$\{|\S{100}/;

const files = ['broker', 'cli', 'client', 'dev', 'tools', 'test', 'deploy', 'vault-policies']
  .filter((room) => existsSync(join(checkout, room)))
  .flatMap((room) => readdirSync(join(checkout, room), { recursive: true, encoding: 'utf8' }).map((file) => `${room}/${file}`))
  .filter((file) => /\.(ts|mjs|js|sh|hcl)$/.test(file) && !/node_modules|generated/.test(file));

test('no line is longer than 140 characters, in comments and messages too, which the formatter leaves alone', () => {
  expect(files.length).toBeGreaterThan(300);
  const long = [...files, 'Makefile', '.dependency-cruiser.mjs', 'vitest.config.ts'].flatMap((file) =>
    readFileSync(join(checkout, file), 'utf8')
      .split('\n')
      .flatMap((line, at) => (line.length > LONGEST && !UNBREAKABLE.test(line) ? [`${file}:${at + 1} ${line.length}`] : [])),
  );
  expect(long).toEqual([]);
});
