import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

/* In a process of its own: there is one such cache in each. */

const MODULE = fileURLToPath(new URL('../../../cli/compile-cache.js', import.meta.url));

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-compiled-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function folderIn(env: Record<string, string>): string {
  const script = `import { getCompileCacheDir } from 'node:module'; import { keepCompiled } from ${JSON.stringify(MODULE)};
    keepCompiled(process.env); process.stdout.write(String(getCompileCacheDir()));`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
}

test("what was compiled is kept in the person's own cache, which nobody else can write to", () => {
  expect(folderIn({ HOME: home })).toMatch(new RegExp(`^${home}/\\.cache/postern/compiled`));
  expect(readdirSync(join(home, '.cache', 'postern'))).toEqual(['compiled']);
  expect(folderIn({ HOME: home, XDG_CACHE_HOME: join(home, 'other') })).toContain(`${home}/other/postern/compiled`);
});

test('nothing is kept where others may write, nor by a link, nor without a home', () => {
  expect(folderIn({})).toBe('undefined');
  expect(folderIn({ HOME: 'relative' })).toBe('undefined');
  expect(folderIn({ HOME: '/dev/null' })).toBe('undefined');
  mkdirSync(join(home, '.cache', 'postern', 'compiled'), { recursive: true });
  chmodSync(join(home, '.cache', 'postern', 'compiled'), 0o777);
  expect(folderIn({ HOME: home })).toBe('undefined');
  rmSync(join(home, '.cache', 'postern', 'compiled'), { recursive: true });
  mkdirSync(join(home, 'elsewhere'));
  symlinkSync(join(home, 'elsewhere'), join(home, '.cache', 'postern', 'compiled'));
  expect(folderIn({ HOME: home })).toBe('undefined');
});
