import { join } from 'node:path';
import { execa } from 'execa';
import { packagedWays } from '#tools/part/packaged.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { unpackPackage } from './debian.ts';

/**
 * A static BusyBox, the shell of images that stand in for official ones: `POSTERN_BUSYBOX_BIN`, PATH, the cache, Debian's package.
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export async function findBusyBox(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const pin = versions.busybox;
  const ways = packagedWays(
    {
      name: 'busybox',
      file: 'busybox',
      variable: 'POSTERN_BUSYBOX_BIN',
      version: 'debian',
      minimum: pin.minimum,
      tells: '--help',
      path: env['PATH'] ?? '',
      source: {
        origin: 'debian',
        where: `Debian's package (or: apt-get install ${pin.debianPackage})`,
        get: async (scratch) => join(await unpackPackage(pin.debianPackage, scratch, { env, report }), 'bin/busybox'),
      },
    },
    env,
    report,
  );
  const fitting = ways.map((way) => ({
    ...way,
    async find() {
      const found = await way.find();
      if (found !== undefined && !(await isStatic(found.path)))
        throw new Error(`${found.path} is not static: it would not run in an image`);
      return found;
    },
  }));
  return firstOf('busybox', fitting, report);
}

/** glibc's ldd fails for a program without a loader. */
async function isStatic(path: string): Promise<boolean> {
  return (await execa('ldd', [path], { reject: false, stdin: 'ignore' })).failed;
}
