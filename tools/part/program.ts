import { access, constants, rm } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory, place } from './cache.ts';
import { downloadRelease, goPlatform } from './download.ts';
import { buildFromGoModule } from './gobuild.ts';
import type { Origin, Part, Report, Way } from './part.ts';
import { cleanEnvironment } from '#tools/process/environment.ts';
import { versionFrom, type ProgramPin, versionIn } from './version.ts';

/** A program of 140 MB is read from a disk first. */
const VERSION_MS = 60_000;

class Slow extends Error {}

/** A HashiCorp program: found under its name, released as one zip, built from one Go package. */
export interface Program {
  /** `vault` or `terraform`: the name of the file and of the release. */
  file: 'vault' | 'terraform';
  pin: ProgramPin;
  /** The environment variable that names a copy explicitly. */
  variable: string;
  /** Go build tags. */
  tags?: string;
}

/** The copy that a person names explicitly. @param checked the part at a path; throws for anything else */
export function fromEnvironment(variable: string, env: NodeJS.ProcessEnv, checked: (path: string, origin: Origin) => Promise<Part>): Way {
  return {
    origin: 'environment',
    where: variable,
    async find() {
      const path = env[variable];
      if (!path) return undefined;
      if (!(await executable(resolve(path)))) throw new Error(`${path} is not an executable file`);
      return checked(resolve(path), 'environment');
    },
  };
}

/** The copy on PATH. @param checked as in {@link fromEnvironment} */
export function onPathWay(name: string, env: NodeJS.ProcessEnv, checked: (path: string, origin: Origin) => Promise<Part>): Way {
  return {
    origin: 'PATH',
    where: 'PATH',
    async find() {
      const path = await onPath(name, env);
      return path === undefined ? undefined : checked(path, 'PATH');
    },
  };
}

/** The places where a program may be, in the order of the house. */
export function programWays(program: Program, env: NodeJS.ProcessEnv, report: Report): Way[] {
  const { file, pin } = program;
  const cache = cacheDirectory(env);
  // The Go module may build another version than the one that is released.
  const built = pin.goVersion.slice(1);
  const home = (version: string) => join(cache, 'bin', file, version, goPlatform(), file);
  const keep = (origin: Origin, version: string, make: (scratch: string) => Promise<string>) =>
    alone(cache, file, report, async () => {
      // Another process may have got it while this one waited.
      const already = await fromCache();
      if (already) return already;
      return checked(await place(cache, home(version), make), origin);
    });

  async function fromCache(): Promise<Part | undefined> {
    for (const path of new Set([home(pin.version), home(built)])) {
      if (!(await executable(path))) continue;
      try {
        return await checked(path, 'cache');
      } catch (error) {
        if (error instanceof Slow) throw error;
        // Damaged after all: it goes, and the next way makes a new one.
        report(`${file}: the cached copy does not run and is thrown away (${(error as Error).message})`, 'remark');
        await rm(path, { force: true });
      }
    }
    return undefined;
  }

  async function checked(path: string, origin: Origin): Promise<Part> {
    const result = await execa(path, ['version'], {
      // Asking for a version must not call home.
      env: { ...cleanEnvironment(env), CHECKPOINT_DISABLE: '1' },
      extendEnv: false,
      reject: false,
      timeout: VERSION_MS,
      stdin: 'ignore',
    });
    // A slow disk says nothing about the program.
    if (result.timedOut) throw new Slow(`${path} did not tell its version within ${VERSION_MS / 1000} s`);
    if (result.failed) throw new Error(`${path} can't be run: ${firstWords(result)}`);
    const version = versionFrom(path, versionIn(result.stdout), pin.minimum);
    return { name: file, version, path, origin };
  }

  return [
    fromEnvironment(program.variable, env, checked),
    onPathWay(file, env, checked),
    { origin: 'cache', where: home(pin.version), find: fromCache },
    {
      origin: 'download',
      where: 'official release',
      find: () => keep('download', pin.version, (scratch) => downloadRelease(file, pin, scratch, env, report)),
    },
    {
      origin: 'go-module',
      where: pin.goModule,
      find: () =>
        keep('go-module', built, (into) =>
          buildFromGoModule({ pin, name: file, into, file, ...(program.tags ? { tags: program.tags } : {}) }, env, report),
        ),
    },
  ];
}

/** The first executable of that name in an absolute folder of PATH; a relative one would depend on where the caller stands. */
export async function onPath(name: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    if (isAbsolute(folder) && (await executable(join(folder, name)))) return join(folder, name);
  }
  return undefined;
}

export async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Why a program failed: how it ended, and the first thing that it said. */
function firstWords({ shortMessage, stderr, stdout }: { shortMessage?: string | undefined; stderr: string; stdout: string }): string {
  const how = (shortMessage ?? '').split('\n')[0] ?? '';
  const said = (stderr || stdout)
    .split('\n')
    .map((line) => line.replace(/^[│╷╵]\s*/, '').trim())
    .find((line) => line !== '');
  return said === undefined ? how : `${how} (${said.slice(0, 200)})`;
}
