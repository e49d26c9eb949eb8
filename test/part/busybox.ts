import { execa } from 'execa';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { debianWays } from './debian.ts';

/**
 * A static BusyBox, the shell of images that stand in for official ones: `POSTERN_BUSYBOX_BIN`, PATH, the cache, Debian's package.
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export async function findBusyBox(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const ways = debianWays({ name: 'busybox', inside: 'bin/busybox', pin: versions.busybox, tells: '--help' }, report, env);
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
