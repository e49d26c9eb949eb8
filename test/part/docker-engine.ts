import { readFileSync } from 'node:fs';
import { mkdtemp, open, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { startLeashed } from '#tools/process/leash.ts';
import { answers } from '#tools/part/ping.ts';
import type { Report } from '#tools/part/part.ts';
import { onPath } from '#tools/part/program.ts';
import { withProgress } from '#tools/part/progress.ts';
import { versions } from '#tools/part/version.ts';
import { installPackages } from './debian.ts';

const START_MS = 40_000;

export interface Engine {
  host: string;
  version: string;
  stop: () => Promise<void>;
}

/**
 * Installs Docker Engine from Debian's packages. Announced, since it changes the machine.
 *
 * @throws Error when this is not Debian, or when the packages can't be had.
 */
export async function installEngine(env: NodeJS.ProcessEnv, report: Report): Promise<void> {
  if (!(await onPath('apt-get', env))) throw new Error('dockerd is not installed and apt-get is missing, which would install it');
  const packages = versions.docker.debianPackages;
  await installPackages(`docker: installing ${packages.join(' and ')} with apt-get (POSTERN_DOCKER=off prevents it)`, packages, {
    env,
    report,
    timeoutMs: 600_000,
  });
}

/**
 * Starts `dockerd` for this process alone: its own data, its own socket, its own bridge, no firewall rules, no
 * forwarding switched on. Published ports are served by Docker's own proxy. All of it is gone after `stop()`, and
 * also when this process is killed.
 *
 * @throws Error when it does not answer, with the end of its log.
 */
export async function startEngine(env: NodeJS.ProcessEnv, report: Report): Promise<Engine> {
  const dockerd = await onPath('dockerd', env);
  if (!dockerd) throw new Error('dockerd is not installed');
  // /tmp, not TMPDIR: the socket's path must stay short.
  const folder = await mkdtemp('/tmp/postern-docker-');
  const bridge = `pst${process.pid}`;
  const host = `unix://${folder}/docker.sock`;
  const undoBridge = `ip link delete ${bridge} 2>/dev/null`;
  // What containers had mounted is let go before anything below is deleted.
  const undoFolder = `for m in $(awk '$2 ~ "^${folder}/" {print $2}' /proc/mounts | sort -r); do umount -l "$m"; done; rm -rf ${folder}`;
  // Held open, so that it can be read after the clean-up has taken it away.
  const log = await open(`${folder}/dockerd.log`, 'a+', 0o600);
  try {
    // The machine's own configuration may set what is also set here, which dockerd refuses.
    await writeFile(`${folder}/daemon.json`, '{}');
    await ip('link', 'add', 'name', bridge, 'type', 'bridge');
    await ip('address', 'add', `${freeSubnet()}.1/24`, 'dev', bridge);
    await ip('link', 'set', bridge, 'up');
    const engine = await startLeashed(
      dockerd,
      [
        `--host=${host}`,
        `--data-root=${folder}/data`,
        `--exec-root=${folder}/exec`,
        `--pidfile=${folder}/docker.pid`,
        `--bridge=${bridge}`,
        `--config-file=${folder}/daemon.json`,
        '--iptables=false',
        '--ip6tables=false',
        '--ip-masq=false',
        '--ip-forward=false',
      ],
      { env, log: `${folder}/dockerd.log`, grace: 20, after: `${undoBridge}; ${undoFolder}` },
    );
    let over = false;
    void engine.exited.then(() => (over = true));
    const version = await withProgress('docker: starting dockerd', report, async () => {
      for (const until = Date.now() + START_MS; ; await sleep(100)) {
        const answered = await answers(host, env);
        if (answered) return answered;
        if (!over && Date.now() < until) continue;
        const how = over ? 'ended' : 'does not answer';
        await engine.stop();
        const said = (await log.read(Buffer.alloc(1_000_000), 0, 1_000_000, 0)).buffer.toString('utf8').replaceAll('\0', '');
        throw new Error(`dockerd ${how}: ${said.trim().split('\n').slice(-3).join(' | ').slice(-600)}`);
      }
    });
    return { host, version, stop: engine.stop };
  } catch (error) {
    await execa('/bin/sh', ['-c', `${undoBridge}; ${undoFolder}`], { reject: false });
    throw error;
  } finally {
    await log.close();
  }
}

async function ip(...args: string[]): Promise<void> {
  const result = await execa('ip', args, { reject: false });
  if (result.failed) throw new Error(`ip ${args.join(' ')}: ${result.stderr || result.shortMessage}`);
}

/** The first three bytes of a private /24 that no interface and no route here uses. */
function freeSubnet(): string {
  const used = Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map((address) => address.address));
  const routes = readFileSync('/proc/net/route', 'utf8');
  for (let third = 0; third < 256; third++) {
    const prefix = `10.213.${third}`;
    // The kernel lists a route's network as little-endian hex.
    const hex = [0, third, 213, 10].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join('');
    if (!used.some((address) => address.startsWith(`${prefix}.`)) && !routes.includes(hex)) return prefix;
  }
  throw new Error('no private subnet is free');
}
