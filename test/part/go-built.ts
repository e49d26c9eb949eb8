import { join } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { goPlatform } from '#tools/part/download.ts';
import { buildFromGoModule } from '#tools/part/gobuild.ts';
import type { Origin, Part, Report, Way } from '#tools/part/part.ts';
import { executable, fromEnvironment, onPathWay } from '#tools/part/program.ts';
import { versionFrom, versionIn } from '#tools/part/version.ts';
import type { GoPin } from '#tools/part/version.ts';

/** A program of the tests that is built from a Go module where nobody has it. */
export interface GoBuilt {
  name: string;
  /** What it is called on PATH. */
  file: string;
  /** The environment variable that names a copy explicitly. */
  variable: string;
  pin: GoPin & { version: string; minimum: string };
  /** Arguments by which it tells its version. */
  tells: readonly string[];
  /** As in {@link buildFromGoModule}. Without it our own build isn't asked for its version, which it doesn't know. */
  stamps?: readonly string[];
}

/** Its own variable, PATH, the cache, then a build from the pinned module, once. */
export function goBuiltWays(program: GoBuilt, report: Report, env: NodeJS.ProcessEnv): readonly Way[] {
  const { name, file, pin, stamps } = program;
  const cache = cacheDirectory(env);
  const home = join(cache, 'bin', name, pin.version, goPlatform(), file);
  const checked = async (path: string, origin: Origin): Promise<Part> => {
    const { stdout, failed } = await execa(path, [...program.tells], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    if (failed) throw new Error(`${path} can't be run`);
    const ours = stamps === undefined && (origin === 'cache' || origin === 'go-module');
    return { name, version: versionFrom(path, ours ? pin.version : versionIn(stdout), pin.minimum), path, origin };
  };
  const fromCache = async (): Promise<Part | undefined> => ((await executable(home)) ? checked(home, 'cache') : undefined);
  // They wait for others most of the time.
  const build = { pin, name, file, optimize: false, ...(stamps === undefined ? {} : { stamps }) };
  return [
    fromEnvironment(program.variable, env, checked),
    onPathWay(file, env, checked),
    { origin: 'cache', where: home, find: fromCache },
    {
      origin: 'go-module',
      where: `${pin.goPackage} ${pin.goVersion}`,
      find: () =>
        alone(
          cache,
          name,
          report,
          async () =>
            (await fromCache()) ??
            checked(await place(cache, home, (into) => buildFromGoModule({ ...build, into }, env, report)), 'go-module'),
        ),
    },
  ];
}
