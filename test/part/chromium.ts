import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Origin, Part, Report, Way } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { fromEnvironment, onPath } from '#tools/part/program.ts';
import { versionFrom, versionIn } from '#tools/part/version.ts';
import { installPackages } from './debian.ts';

/** The console needs `light-dark()`, which came with it. */
const MINIMUM = '123.0.0';
const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome'];

/**
 * A browser for the tests of pages: `POSTERN_CHROMIUM_BIN`, PATH, one that Playwright has downloaded; then Playwright's own download, and
 * Debian's package where this is root's Debian.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findChromium(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const checked = async (path: string, origin: Origin): Promise<Part> => {
    const { stdout, failed, shortMessage } = await execa(path, ['--version'], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    if (failed) throw new Error(`${path} can't be run: ${(shortMessage ?? '').split('\n')[0]}`);
    const version = versionFrom(path, versionIn(stdout), MINIMUM);
    return { name: 'chromium', version, path, origin };
  };
  const ways: Way[] = [
    fromEnvironment('POSTERN_CHROMIUM_BIN', env, checked),
    {
      origin: 'PATH',
      where: 'PATH',
      async find() {
        for (const name of NAMES) {
          const path = await onPath(name, env);
          if (path) return checked(path, 'PATH');
        }
        return undefined;
      },
    },
    {
      origin: 'cache',
      where: "Playwright's folder of browsers",
      async find() {
        const path = await downloaded(env);
        return path === undefined ? undefined : checked(path, 'cache');
      },
    },
    {
      origin: 'debian',
      where: "Debian's package (or: apt-get install chromium)",
      async find() {
        await installDebian(env, report);
        const path = await onPath('chromium', env);
        return path === undefined ? undefined : checked(path, 'debian');
      },
    },
    {
      origin: 'download',
      where: 'playwright-core install chromium',
      async find() {
        await install(env, report);
        const path = await downloaded(env);
        return path === undefined ? undefined : checked(path, 'download');
      },
    },
  ];
  return firstOf('chromium', ways, report);
}

/** @returns the newest that `playwright install` has left */
async function downloaded(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const home = env['HOME'] ?? homedir();
  const folder = process.platform === 'darwin' ? join(home, 'Library/Caches/ms-playwright') : join(home, '.cache/ms-playwright');
  const browsers = (await readdir(folder).catch(() => [])).filter((name) => /^chromium-\d+$/.test(name)).sort();
  const newest = browsers.at(-1);
  if (newest === undefined) return undefined;
  const inside = process.platform === 'darwin' ? 'chrome-mac/Chromium.app/Contents/MacOS/Chromium' : 'chrome-linux/chrome';
  return join(folder, newest, inside);
}

/** @throws Error where this isn't Debian, or only root could */
async function installDebian(env: NodeJS.ProcessEnv, report: Report): Promise<void> {
  if (!(await onPath('apt-get', env))) throw new Error('this is not Debian: there is no apt-get');
  if (process.getuid?.() !== 0) throw new Error('only root can install packages');
  await installPackages("chromium: installing Debian's package", ['chromium', 'fonts-dejavu-core'], { env, report, timeoutMs: 300_000 });
}

async function install(env: NodeJS.ProcessEnv, report: Report): Promise<void> {
  await withProgress("chromium: Playwright's download", report, async () => {
    const { failed, all } = await execa('playwright-core', ['install', 'chromium'], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      all: true,
      timeout: 300_000,
    });
    if (failed) throw new Error((all ?? '').trim().split('\n').at(-1));
  });
}
