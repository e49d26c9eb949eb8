import { homedir } from 'node:os';
import { execa } from 'execa';
import { type Engine, installEngine, startEngine } from './docker-engine.ts';
import { type Report, toStderr } from '#tools/part/part.ts';
import { answers, PING_MS } from '#tools/part/ping.ts';
import { onPath } from '#tools/part/program.ts';

/** A Docker Engine that answers. */
export interface Docker {
  /** The engine's own, as it says. */
  version: string;
  /** For `DOCKER_HOST`. */
  host: string;
  /** In words: which engine this is. */
  origin: string;
  /** Ends the engine when it was started here; does nothing to anybody else's. */
  stop: () => Promise<void>;
}

/**
 * A Docker Engine: `DOCKER_HOST`, the usual sockets, the CLI's current context; else, as root on Linux, an installed
 * `dockerd` is started for us alone, and where it is missing Debian's package is installed for it.
 * `POSTERN_DOCKER=off` skips all of it.
 *
 * @returns undefined where no engine runs and none can be started. That is ordinary; the reason is reported.
 */
export async function findDocker(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Docker | undefined> {
  if (env['POSTERN_DOCKER'] === 'off') return undefined;
  const answering = await findAnswering(env);
  if (answering) return { ...answering, stop: async () => {} };
  if (env['DOCKER_HOST']) report(`docker: nothing answers at DOCKER_HOST=${env['DOCKER_HOST']}`);
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    report('docker: no engine answers (start Docker to run the tests in containers)');
    return undefined;
  }
  try {
    if (!(await onPath('dockerd', env))) await installEngine(env, report);
    // On a machine with an init system the package has started its own service.
    const service = await findAnswering(env);
    if (service) return { ...service, origin: `${service.origin}, started by its package`, stop: async () => {} };
    const engine: Engine = await startEngine(env, report);
    return { host: engine.host, version: engine.version, origin: 'dockerd started here', stop: engine.stop };
  } catch (error) {
    report(`docker: no engine (${(error as Error).message})`);
    return undefined;
  }
}

async function findAnswering(env: NodeJS.ProcessEnv): Promise<Omit<Docker, 'stop'> | undefined> {
  const home = env['HOME'] ?? homedir();
  const candidates: [origin: string, host: string | undefined][] = [
    ['DOCKER_HOST', env['DOCKER_HOST']],
    ['system engine', 'unix:///var/run/docker.sock'],
    ['rootless engine', env['XDG_RUNTIME_DIR'] && `unix://${env['XDG_RUNTIME_DIR']}/docker.sock`],
    ['rootless engine', `unix://${home}/.docker/run/docker.sock`],
    ['Docker Desktop', `unix://${home}/.docker/desktop/docker.sock`],
  ];
  candidates.push(['context of the docker command', await contextHost(env)]);
  for (const [origin, host] of candidates) {
    const version = host && (await answers(host, env));
    if (host && version) return { host, origin, version };
  }
  return undefined;
}

async function contextHost(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const args = ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'];
  const result = await execa('docker', args, { env, extendEnv: false, reject: false, timeout: PING_MS, stdin: 'ignore' });
  return result.failed ? undefined : result.stdout.trim();
}
