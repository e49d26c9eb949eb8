import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory, place } from './cache.ts';
import { goPlatform } from './download.ts';
import { cleanEnvironment } from '#tools/process/environment.ts';
import type { Origin, Part, Report, Way } from './part.ts';
import { executable, fromEnvironment, onPath } from './program.ts';
import { versionFrom, versionIn } from './version.ts';

/** A program that others have packed: in a Python wheel, or a package of the system. */
export interface Packaged {
  name: string;
  /** File name on PATH. */
  file: string;
  /** The environment variable that names a copy explicitly. */
  variable: string;
  /** Where it lies in the cache: a version, or the package's kind. */
  version: string;
  minimum: string;
  /** The argument that makes it tell its version. */
  tells: string;
  /** What it must say of itself beside its version, and what it means where it doesn't. */
  must?: { word: string; otherwise: string };
  /** Folders where it is looked for, as in PATH. */
  path: string;
  /** The package, where no copy is there yet. `get` returns the program's path in the scratch folder. */
  source: { origin: Origin; where: string; get: (scratch: string) => Promise<string> };
}

/** The places where a packaged program may be, in the order of the house: environment, PATH, cache, package. */
export function packagedWays(program: Packaged, env: NodeJS.ProcessEnv, report: Report): Way[] {
  const { name, file, source } = program;
  const cache = cacheDirectory(env);
  const home = join(cache, 'bin', name, program.version, goPlatform(), file);

  const checked = async (path: string, origin: Origin): Promise<Part> => {
    const result = await execa(path, [program.tells], {
      env: cleanEnvironment(env),
      extendEnv: false,
      reject: false,
      timeout: 60_000,
      stdin: 'ignore',
      all: true,
    });
    if (result.failed) throw new Error(`${path} can't be run: ${lastLine(result.all) || (result.shortMessage ?? '').split('\n')[0]}`);
    const found = versionFrom(path, versionIn(result.all), program.minimum);
    if (program.must !== undefined && !result.all.includes(program.must.word)) throw new Error(`${path} ${program.must.otherwise}`);
    return { name, version: found, path, origin };
  };

  const fromCache = async (): Promise<Part | undefined> => {
    if (!(await executable(home))) return undefined;
    try {
      return await checked(home, 'cache');
    } catch (error) {
      report(`${name}: the cached copy does not run and is thrown away (${(error as Error).message})`, 'remark');
      await rm(home, { force: true });
      return undefined;
    }
  };

  return [
    fromEnvironment(program.variable, env, checked),
    {
      origin: 'PATH',
      where: 'PATH',
      async find() {
        const path = await onPath(file, { PATH: program.path });
        return path ? checked(path, 'PATH') : undefined;
      },
    },
    { origin: 'cache', where: home, find: fromCache },
    {
      origin: source.origin,
      where: source.where,
      // Another process may have got it while this one waited.
      find: () =>
        alone(cache, name, report, async () => (await fromCache()) ?? checked(await place(cache, home, source.get), source.origin)),
    },
  ];
}

const lastLine = (text: string | undefined): string => text?.trim().split('\n').at(-1) ?? '';
