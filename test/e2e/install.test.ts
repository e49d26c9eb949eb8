import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** A project of two packages that each want to run a script when they are installed, with our Makefile and settings. No network. */
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'postern-install-'));
  const project = join(root, 'project');
  mkdirSync(project);
  for (const file of ['Makefile', '.npmrc']) copyFileSync(join(checkout, file), join(project, file));
  await pack('node', { scripts: { preinstall: `touch '${root}/node-ran'` }, bin: { node: 'node' } });
  await pack('other', { scripts: { preinstall: `touch '${root}/other-ran'`, postinstall: `touch '${root}/other-ran'` } });
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({
      name: 'project',
      dependencies: { other: 'file:../other-1.0.0.tgz' },
      devDependencies: { node: 'file:../node-1.0.0.tgz' },
    }),
  );
  // A person's own settings and shell, at their least helpful.
  writeFileSync(join(root, '.npmrc'), 'omit=dev\nignore-scripts=false\n');
  await npm(project, 'install', '--package-lock-only');
}, 60_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

const env = () => ({ PATH: process.env['PATH'] ?? '', HOME: root, NODE_ENV: 'production', npm_config_offline: 'true' });
const npm = (cwd: string, ...args: string[]) => execa('npm', args, { cwd, env: env(), extendEnv: false });

async function pack(name: string, more: object): Promise<void> {
  const folder = join(root, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', ...more }));
  writeFileSync(join(folder, 'node'), `#!/bin/sh\nexec '${process.execPath}' "$@"\n`);
  chmodSync(join(folder, 'node'), 0o755);
  await npm(folder, 'pack', '--ignore-scripts', '--pack-destination', root);
}

it('make installs the development packages and runs the script of no package but node', async () => {
  const result = await execa('make', ['node_modules/.package-lock.json'], {
    cwd: join(root, 'project'),
    env: env(),
    extendEnv: false,
    reject: false,
    all: true,
  });
  expect(result.exitCode, result.all).toBe(0);
  expect(existsSync(join(root, 'project/node_modules/node'))).toBe(true);
  expect(existsSync(join(root, 'project/node_modules/other'))).toBe(true);
  expect(existsSync(join(root, 'node-ran'))).toBe(true);
  expect(existsSync(join(root, 'other-ran'))).toBe(false);
}, 60_000);

it('npm ci alone runs none', async () => {
  rmSync(join(root, 'node-ran'), { force: true });
  await npm(join(root, 'project'), 'ci', '--include=dev');
  expect(existsSync(join(root, 'node-ran'))).toBe(false);
  expect(existsSync(join(root, 'other-ran'))).toBe(false);
}, 60_000);
