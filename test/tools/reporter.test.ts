import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

const passing = "test('a', () => {});\n";

/** Runs a real Vitest on these files with our reporter, and gives its last line and its exit code. */
async function run(files: Record<string, string>, more = ''): Promise<{ last: string; named: string[]; exitCode: number | undefined }> {
  const root = mkdtempSync(join(tmpdir(), 'postern-reporter-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
    const config =
      `export default { test: { globals: true, reporters: ['default', ` +
      `${JSON.stringify(join(checkout, 'test/reporter.ts'))}], ${more} } };\n`;
    writeFileSync(join(root, 'vitest.config.mjs'), config);
    const result = await execa(process.execPath, [join(checkout, 'node_modules/vitest/vitest.mjs'), 'run', '--root', root], {
      env: { PATH: process.env['PATH'] ?? '', HOME: root },
      extendEnv: false,
      reject: false,
    });
    // What vitest says on the other stream comes when it likes.
    const lines = result.stdout.trimEnd().split('\n');
    const named = lines.filter((line) => line.startsWith('failed: ')).map((line) => line.slice('failed: '.length));
    return { last: lines.at(-1) ?? '', named, exitCode: result.exitCode };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

it.each([
  ['what passed and was skipped', { 'a.test.js': `${passing}test.skip('b', () => {});\n` }, '', '1 passed, 0 failed, 1 skipped', 0, []],
  [
    'a failed test',
    { 'a.test.js': `${passing}test('b', () => { throw new Error('x\\n\\n  y'); });\n` },
    '',
    '1 passed, 1 failed, 0 skipped',
    1,
    ['a.test.js > b: x y'],
  ],
  [
    'a file that can not be loaded',
    { 'a.test.js': passing, 'b.test.js': "import './nowhere.js';\n" },
    '',
    '1 passed, 1 failed, 0 skipped',
    1,
    [expect.stringMatching(/^b\.test\.js: .*nowhere\.js/)],
  ],
  [
    'a hook that fails',
    { 'a.test.js': `describe('s', () => { beforeAll(() => { throw new Error('x'); }); ${passing} });\n` },
    '',
    '0 passed, 1 failed, 1 skipped',
    1,
    ['a.test.js > s: x'],
  ],
  [
    'an error outside any test',
    {
      'a.test.js':
        `test('a', async () => { setTimeout(() => { throw new Error('x'); }); await new Promise((r) => ` + `setTimeout(r, 50)); });\n`,
    },
    '',
    '1 passed, 1 failed, 0 skipped',
    1,
    ['outside any test: x'],
  ],
  [
    'a set-up that fails',
    { 'a.test.js': passing, 'setup.js': "export default () => { throw new Error('x'); };\n" },
    "globalSetup: ['./setup.js']",
    '0 passed, 1 failed, 0 skipped',
    1,
    [],
  ],
  ['no tests at all', {}, 'passWithNoTests: true', '0 passed, 1 failed, 0 skipped', 1, []],
])('tells the truth of %s', async (_what, files, more, last, exitCode, named) => {
  expect(await run(files, more)).toEqual({ last, named, exitCode });
});
