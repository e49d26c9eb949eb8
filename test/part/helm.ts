import { join } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { goPlatform } from '#tools/part/download.ts';
import { buildFromGoModule } from '#tools/part/gobuild.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Origin, Part, Report } from '#tools/part/part.ts';
import { executable, fromEnvironment, onPathWay } from '#tools/part/program.ts';
import { versionFrom, versionIn, versions } from '#tools/part/version.ts';

/**
 * Helm: `POSTERN_HELM_BIN`, PATH, the cache, or a build from its Go module (two minutes, once).
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export function findHelm(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const pin = versions.helm;
  const cache = cacheDirectory(env);
  const home = join(cache, 'bin/helm', pin.version, goPlatform(), 'helm');
  const checked = async (path: string, origin: Origin): Promise<Part> => {
    // A build from the Go module calls itself v3.22 and no more.
    const { stdout, failed } = await execa(path, ['version', '--short'], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    if (failed) throw new Error(`${path} can't be run`);
    const version = versionFrom(path, origin === 'cache' || origin === 'go-module' ? pin.version : versionIn(stdout), pin.minimum);
    return { name: 'helm', version, path, origin };
  };
  const fromCache = async (): Promise<Part | undefined> => ((await executable(home)) ? checked(home, 'cache') : undefined);
  return firstOf(
    'helm',
    [
      fromEnvironment('POSTERN_HELM_BIN', env, checked),
      onPathWay('helm', env, checked),
      { origin: 'cache', where: home, find: fromCache },
      {
        origin: 'go-module',
        where: `${pin.goPackage} ${pin.goVersion}`,
        find: () =>
          alone(
            cache,
            'helm',
            report,
            async () =>
              (await fromCache()) ??
              checked(
                await place(cache, home, (into) =>
                  buildFromGoModule({ pin, name: 'helm', into, file: 'helm', optimize: false }, env, report),
                ),
                'go-module',
              ),
          ),
      },
    ],
    report,
  );
}

/** The folder of a Go module, whose files are fetched where Go has not got them yet. @param module `path@version` */
export async function goModuleFolder(module: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const result = await execa('go', ['mod', 'download', '-json', module], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: 300_000,
  });
  if (result.failed) throw new Error(`go mod download ${module} failed: ${(result.stderr || result.stdout).slice(-300)}`);
  return (JSON.parse(result.stdout) as { Dir: string }).Dir;
}
