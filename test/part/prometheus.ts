import { join } from 'node:path';
import { packagedWays } from '#tools/part/packaged.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { unpackPackage } from './debian.ts';

/**
 * Prometheus, or promtool, which lies beside it: `POSTERN_PROMETHEUS_BIN` and `POSTERN_PROMTOOL_BIN`, PATH, the cache, Debian's package.
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export function findPrometheus(
  name: 'prometheus' | 'promtool',
  report: Report = toStderr,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Part> {
  const pin = versions.prometheus;
  const ways = packagedWays(
    {
      name,
      file: name,
      variable: `POSTERN_${name.toUpperCase()}_BIN`,
      version: 'debian',
      minimum: pin.minimum,
      tells: '--version',
      path: env['PATH'] ?? '',
      source: {
        origin: 'debian',
        where: `Debian's package (or: apt-get install ${pin.debianPackage})`,
        get: async (scratch) => join(await unpackPackage(pin.debianPackage, scratch, { env, report }), 'usr/bin', name),
      },
    },
    env,
    report,
  );
  return firstOf(name, ways, report);
}
