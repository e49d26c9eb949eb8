import { join } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { goPlatform } from '#tools/part/download.ts';
import { buildFromGoModule } from '#tools/part/gobuild.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Origin, Part, Report } from '#tools/part/part.ts';
import { executable, fromEnvironment, onPath, onPathWay } from '#tools/part/program.ts';
import { versionFrom, versionIn, versions } from '#tools/part/version.ts';

export interface Compose extends Part {
  /** How it is called: `docker compose`, or a program of its own. */
  command: readonly [program: string, ...args: string[]];
}

/**
 * Docker Compose: `POSTERN_COMPOSE_BIN`, `docker compose` or `docker-compose` on PATH, the cache, or a build from its Go module (four
 * minutes, once).
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export async function findCompose(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Compose> {
  const pin = versions.compose;
  const cache = cacheDirectory(env);
  const home = join(cache, 'bin/compose', pin.version, goPlatform(), 'docker-compose');
  const calls = new Map<string, Compose['command']>();
  const checked = async (path: string, origin: Origin, args: readonly string[] = []): Promise<Part> => {
    const { stdout, failed } = await execa(path, [...args, 'version', '--short'], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    if (failed) throw new Error(`${[path, ...args].join(' ')} can't be run`);
    const version = versionFrom(path, versionIn(stdout), pin.minimum);
    calls.set(path, [path, ...args]);
    return { name: 'compose', version, path, origin };
  };
  const fromCache = async (): Promise<Part | undefined> => ((await executable(home)) ? checked(home, 'cache') : undefined);
  const part = await firstOf(
    'compose',
    [
      fromEnvironment('POSTERN_COMPOSE_BIN', env, checked),
      {
        origin: 'PATH',
        where: '`docker compose` on PATH',
        async find() {
          const path = await onPath('docker', env);
          return path === undefined ? undefined : checked(path, 'PATH', ['compose']).catch(() => undefined);
        },
      },
      { ...onPathWay('docker-compose', env, checked), where: '`docker-compose` on PATH' },
      { origin: 'cache', where: home, find: fromCache },
      {
        origin: 'go-module',
        where: `${pin.goPackage} ${pin.goVersion}`,
        find: () =>
          alone(
            cache,
            'compose',
            report,
            async () =>
              (await fromCache()) ??
              checked(
                await place(cache, home, (into) =>
                  buildFromGoModule(
                    {
                      pin,
                      name: 'compose',
                      into,
                      file: 'docker-compose',
                      optimize: false,
                      stamps: [`github.com/docker/compose/v2/internal.Version=${pin.goVersion}`],
                    },
                    env,
                    report,
                  ),
                ),
                'go-module',
              ),
          ),
      },
    ],
    report,
  );
  return { ...part, command: calls.get(part.path) ?? [part.path] };
}
