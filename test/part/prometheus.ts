import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { debianWays } from './debian.ts';

/**
 * Prometheus, or promtool, which lies beside it: `POSTERN_PROMETHEUS_BIN` and `POSTERN_PROMTOOL_BIN`, PATH, the cache, Debian's package.
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export function findPrometheus(
  name: 'prometheus' | 'promtool',
  report: Report = toStderr,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Part> {
  const program = { name, inside: `usr/bin/${name}`, pin: versions.prometheus, tells: '--version' };
  return firstOf(name, debianWays(program, report, env), report);
}
