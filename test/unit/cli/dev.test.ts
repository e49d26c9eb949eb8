import { execa } from 'execa';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** Stands in for an installation with `npm ci --omit=dev`: this package is not to be found. */
const without = (name: string) => `data:text/javascript,
import { registerHooks } from 'node:module';
registerHooks({ resolve(specifier, context, next) {
  if (specifier === '${name}') throw Object.assign(new Error('no package'), { code: 'ERR_MODULE_NOT_FOUND' });
  return next(specifier, context);
} });`;

test.each(['oauth2-mock-server', 'execa'])('postern dev says what to do where %s is not installed', async (name) => {
  const { exitCode, stdout, stderr } = await execa(process.execPath, ['--import', without(name), 'cli/main.ts', 'dev'], {
    cwd: checkout,
    reject: false,
    timeout: 20_000,
  });
  expect({ exitCode, stdout }).toEqual({ exitCode: 6, stdout: '' });
  expect(stderr).toContain('"postern dev" is not installed here');
  expect(stderr).toContain('npm ci --include=dev');
});
