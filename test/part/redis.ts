import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, place } from '#tools/part/cache.ts';
import { goPlatform } from '#tools/part/download.ts';
import { packagedWays } from '#tools/part/packaged.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { unpackPackage } from './debian.ts';

/**
 * Redis, or Valkey under that name: `POSTERN_REDIS_BIN`, PATH, the cache, Debian's packages.
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export async function findRedis(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const { minimum, debianPackages } = versions.redis;
  const ways = packagedWays(
    {
      name: 'redis',
      file: 'redis-server',
      variable: 'POSTERN_REDIS_BIN',
      version: 'debian',
      minimum,
      tells: '--version',
      path: env['PATH'] ?? '',
      source: {
        origin: 'debian',
        where: `Debian's package (or: apt-get install redis-server)`,
        get: (scratch) => fromDebian(debianPackages, scratch, { env, report }),
      },
    },
    env,
    report,
  );
  return firstOf('redis', ways, report);
}

/** The program and its libraries lie in a folder of their own beside a script that starts it with them. */
async function fromDebian(
  packages: readonly string[],
  scratch: string,
  { env, report }: { env: NodeJS.ProcessEnv; report: Report },
): Promise<string> {
  const cache = cacheDirectory(env);
  const files = join(cache, 'bin', 'redis', 'debian', goPlatform(), 'files');
  await place(cache, files, async (room) => {
    const all = join(room, 'files');
    for (const name of packages) {
      const own = join(room, name);
      await mkdir(own);
      const unpacked = await unpackPackage(name, own, { env, report });
      await cp(unpacked, all, { recursive: true, verbatimSymlinks: true });
    }
    return all;
  }).catch((error: NodeJS.ErrnoException) => {
    // Another process, or a run before whose script is gone, put them there.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  const script = join(scratch, 'redis-server');
  await writeFile(
    script,
    `#!/bin/bash
files="$(dirname "$(readlink -f "$0")")/files"
libraries=("$files"/usr/lib/*-linux-gnu*)
export LD_LIBRARY_PATH="\${libraries[0]}"
# Debian has one program under two names, and it goes by its own.
exec -a redis-server "$files/usr/bin/redis-check-rdb" "$@"
`,
  );
  await chmod(script, 0o755);
  return script;
}
