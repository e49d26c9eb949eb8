import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { packagedWays } from '#tools/part/packaged.ts';
import type { Report, Way } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { onPath } from '#tools/part/program.ts';

/** apt-get that waits for another one's lock, and not for ever for a mirror. The result tells whether it failed, and what it said. */
export function aptGet(args: readonly string[], { env, cwd, timeoutMs }: { env: NodeJS.ProcessEnv; cwd?: string; timeoutMs: number }) {
  return execa('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::http::Timeout=15', ...args], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    all: true,
    timeout: timeoutMs,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/**
 * Installs packages, which only root can.
 * @param doing for the progress line
 * @throws Error with the end of what apt-get said
 */
export async function installPackages(
  doing: string,
  packages: readonly string[],
  { env, report, timeoutMs }: { env: NodeJS.ProcessEnv; report: Report; timeoutMs: number },
): Promise<void> {
  const apt = (...args: string[]) => aptGet(['-y', ...args], { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs });
  await withProgress(doing, report, async () => {
    const install = () => apt('install', '--no-install-recommends', ...packages);
    let result = await install();
    // Package lists that are missing or old are the usual reason.
    if (result.failed && !(await apt('update')).failed) result = await install();
    if (result.failed) throw new Error(`apt-get install failed: ${(result.all ?? '').slice(-400)}`);
  });
}

/**
 * Gets one package and unpacks it, without installing anything.
 * @param scratch receives both
 * @returns the folder with its files
 * @throws Error where this is not Debian or the package can't be had
 */
export async function unpackPackage(
  name: string,
  scratch: string,
  { env, report }: { env: NodeJS.ProcessEnv; report: Report },
): Promise<string> {
  if (!(await onPath('apt-get', env)) || !(await onPath('dpkg-deb', env))) throw new Error('this is not Debian: there is no apt-get');
  const apt = (...args: string[]) => aptGet(args, { env, cwd: scratch, timeoutMs: 300_000 });
  return withProgress(`${name}: getting Debian's package`, report, async () => {
    const download = () => apt('download', name);
    let result = await download();
    // Package lists that are missing or old are the usual reason; only root can fetch them.
    if (result.failed && process.getuid?.() === 0 && !(await apt('update')).failed) result = await download();
    const file = (await readdir(scratch)).find((entry) => entry.endsWith('.deb'));
    if (result.failed || file === undefined) throw new Error(`apt-get download failed: ${(result.all ?? '').trim().split('\n').at(-1)}`);
    const unpacked = join(scratch, 'unpacked');
    await execa('dpkg-deb', ['-x', join(scratch, file), unpacked], { env, extendEnv: false });
    return unpacked;
  });
}

/** A program that Debian packages: its own variable, PATH, the cache, then the package, unpacked into the cache. */
export function debianWays(
  { name, inside, pin, tells }: { name: string; inside: string; pin: { minimum: string; debianPackage: string }; tells: string },
  report: Report,
  env: NodeJS.ProcessEnv,
): readonly Way[] {
  const { minimum, debianPackage } = pin;
  return packagedWays(
    {
      name,
      file: name,
      variable: `POSTERN_${name.toUpperCase()}_BIN`,
      version: 'debian',
      minimum,
      tells,
      path: env['PATH'] ?? '',
      source: {
        origin: 'debian',
        where: `Debian's package (or: apt-get install ${debianPackage})`,
        get: async (scratch) => join(await unpackPackage(debianPackage, scratch, { env, report }), inside),
      },
    },
    env,
    report,
  );
}
