import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** A project of two packages that each want to run a script when they are installed, with our Makefile and settings. No network. */
let root: string;
let project: string;
const READY = 'node_modules/.postern-installed';

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'postern-install-'));
  project = join(root, 'project');
  mkdirSync(join(project, 'tools'), { recursive: true });
  for (const file of ['Makefile', '.npmrc', 'tools/install.sh']) copyFileSync(join(checkout, file), join(project, file));
  await pack('node', { scripts: { preinstall: `touch '${root}/node-ran'; sh '${root}/slow'` }, bin: { node: 'node' } });
  await pack('other', { scripts: { preinstall: `touch '${root}/other-ran'`, postinstall: `touch '${root}/other-ran'` } });
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({
      name: 'project',
      dependencies: { other: 'file:../other-1.0.0.tgz' },
      devDependencies: { node: 'file:../node-1.0.0.tgz' },
    }),
  );
  await npm(project, 'install', '--package-lock-only');
}, 60_000);
beforeEach(() => {
  rmSync(join(project, 'node_modules'), { recursive: true, force: true });
  for (const ran of ['node-ran', 'other-ran']) rmSync(join(root, ran), { force: true });
  writeFileSync(join(root, 'slow'), '');
  // A person's own settings, at their least helpful.
  writeFileSync(
    join(root, '.npmrc'),
    'omit[]=dev\nomit[]=optional\nbin-links=false\ndry-run=true\nengine-strict=true\nignore-scripts=false\n',
  );
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const env = () => ({ PATH: process.env['PATH'] ?? '', HOME: root, NODE_ENV: 'production', npm_config_offline: 'true' });
const npm = (cwd: string, ...args: string[]) => execa('npm', args, { cwd, env: env(), extendEnv: false });
const make = (more: Record<string, string> = {}) =>
  execa('make', [READY], { cwd: project, env: { ...env(), ...more }, extendEnv: false, reject: false, all: true, detached: true });

async function pack(name: string, more: object): Promise<void> {
  const folder = join(root, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', ...more }));
  writeFileSync(join(folder, 'node'), `#!/bin/sh\nexec '${process.execPath}' "$@"\n`);
  chmodSync(join(folder, 'node'), 0o755);
  await npm(folder, 'pack', '--ignore-scripts', '--pack-destination', root);
}

function expectInstalled(result: { exitCode?: number | undefined; all?: string }): void {
  expect(result.exitCode, result.all).toBe(0);
  expect(existsSync(join(project, 'node_modules/.bin/node'))).toBe(true);
  expect(existsSync(join(project, 'node_modules/other'))).toBe(true);
  expect(existsSync(join(root, 'node-ran'))).toBe(true);
  expect(existsSync(join(root, 'other-ran'))).toBe(false);
}

/** Processes that work in the project, by their folder or command line. Linux tells. */
function working(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return line.includes(root) || line.includes('npm ci') || line.includes('npm rebuild')
        ? readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`HOME=${root}\0`)
          ? [`${pid} ${line}`]
          : []
        : [];
    } catch {
      return [];
    }
  });
}

/** An installation that is in the midst of the script of `node`, which takes a minute. */
async function midst(): Promise<{ running: ReturnType<typeof make> }> {
  writeFileSync(join(root, 'slow'), 'trap "" TERM INT HUP; sleep 60');
  const running = make();
  for (let i = 0; i < 400 && !existsSync(join(root, 'node-ran')); i += 1) await sleep(50);
  expect(existsSync(join(root, 'node-ran'))).toBe(true);
  writeFileSync(join(root, 'slow'), '');
  return { running };
}

describe('make, which installs', () => {
  it('installs the packages that it needs, whatever npm is set to, and runs the script of none but node', async () => {
    expectInstalled(await make());
  }, 60_000);

  it('works where no script may run by the settings of a person', async () => {
    writeFileSync(join(root, '.npmrc'), 'ignore-scripts=true\nomit=dev\n');
    expectInstalled(await make({ npm_config_ignore_scripts: 'true', NPM_CONFIG_OMIT: 'dev', NODE_OPTIONS: '--no-warnings' }));
  }, 60_000);

  it('sees that somebody has installed without the development packages, also afterwards', async () => {
    writeFileSync(join(root, '.npmrc'), '');
    await npm(project, 'ci', '--omit=dev');
    expectInstalled(await make());
    await npm(project, 'prune', '--omit=dev');
    expect(existsSync(join(project, 'node_modules/node'))).toBe(false);
    expectInstalled(await make());
    // All there: nothing is done again.
    expect((await make()).all).not.toContain('npm ci');
  }, 60_000);

  it.each([
    ['Ctrl-C', 'SIGINT', 1],
    ['Ctrl-C three times', 'SIGINT', 3],
    ['a terminal that goes away', 'SIGHUP', 1],
    ['a kill', 'SIGTERM', 1],
    ['a hard kill', 'SIGKILL', 1],
  ] as const)(
    'waits for what it has started at %s, and starts again at once',
    async (_how, signal, times) => {
      const { running } = await midst();
      for (let time = 0; time < times; time += 1) {
        try {
          process.kill(-(running.pid as number), signal);
        } catch {
          // It has ended by now.
        }
        await sleep(30);
      }
      const started = Date.now();
      const { exitCode, all } = await running;
      expect(exitCode).not.toBe(0);
      expect(Date.now() - started).toBeLessThan(5_000);
      if (signal !== 'SIGKILL') {
        expect(all).toContain('npm ci: stopping');
        expect(working()).toEqual([]);
      }
      expectInstalled(await make());
      expect(working()).toEqual([]);
    },
    60_000,
  );

  it('is done by one of two that begin at the same time', async () => {
    const [one, other] = await Promise.all([make(), make()]);
    expectInstalled(one);
    expectInstalled(other);
    expect(`${one.all}${other.all}`.match(/npm ci: done/g)).toHaveLength(1);
  }, 60_000);

  it('says what is missing, in one line', async () => {
    const bin = join(root, 'bin');
    mkdirSync(bin);
    for (const program of ['dirname', 'rm', 'mkdir'])
      writeFileSync(join(bin, program), `#!/bin/sh\nPATH='${process.env['PATH']}' exec ${program} "$@"\n`, { mode: 0o755 });
    const bare = await execa('/bin/bash', ['--norc', 'tools/install.sh'], {
      cwd: project,
      env: { PATH: bin },
      extendEnv: false,
      reject: false,
      all: true,
    });
    expect(bare.all).toBe('Node and npm are needed once, to install the pinned ones: see nodejs.org, or apt-get install npm');
    writeFileSync(join(bin, 'npm'), '#!/bin/sh\nexit 127\n', { mode: 0o755 });
    const broken = await make({ PATH: `${bin}:${process.env['PATH']}` });
    expect(broken.all).toContain('npm does not run here.');
    rmSync(join(bin, 'npm'));
    writeFileSync(join(bin, 'df'), '#!/bin/sh\necho; echo disk 1 1 42 1% /\n', { mode: 0o755 });
    const full = await make({ PATH: `${bin}:${process.env['PATH']}` });
    expect(full.all).toMatch(/^node_modules can't be written \(.*\): 42 MB are free there, \d+ MB are needed\. Make room there/);
    rmSync(bin, { recursive: true });
  }, 60_000);

  it('says that it may not write, in one line', async () => {
    // A file in the way holds root up, too.
    writeFileSync(join(project, 'node_modules'), '');
    const { all, exitCode } = await make();
    expect(exitCode).not.toBe(0);
    expect(all?.split('\n')[0]).toMatch(
      /^node_modules can't be written \(.*\): (File exists|Not a directory)\. Make the checkout writable/,
    );
  }, 60_000);
});

it('npm ci alone runs no script', async () => {
  writeFileSync(join(root, '.npmrc'), '');
  await npm(project, 'ci', '--include=dev');
  expect(existsSync(join(root, 'node-ran'))).toBe(false);
  expect(existsSync(join(root, 'other-ran'))).toBe(false);
}, 60_000);
