import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { goBuiltWays } from './go-built.ts';

/**
 * Toxiproxy's server: `POSTERN_TOXIPROXY_BIN`, PATH, the cache, or a build from its Go module (a minute, once).
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export function findToxiproxy(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const pin = versions.toxiproxy;
  const program = {
    name: 'toxiproxy',
    file: 'toxiproxy-server',
    variable: 'POSTERN_TOXIPROXY_BIN',
    pin,
    tells: ['-version'],
    stamps: [`github.com/Shopify/toxiproxy/v2.Version=${pin.version}`],
  };
  return firstOf('toxiproxy', goBuiltWays(program, report, env), report);
}
