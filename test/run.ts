import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { findDocker } from './part/docker.ts';
import { findOpenBao } from '#tools/part/openbao.ts';
import { findParts } from '#tools/part/parts.ts';
import { checkTemporary } from '#tools/process/storage.ts';
import { RUN_LABEL } from './fixture/vault.ts';
import { removeLeftBehind } from './left-behind.ts';

/** Projects whose tests need the real parts. */
const REAL = ['integration', 'clocked', 'plugin-store', 'openbao', 'conformance', 'e2e', 'fault'];

/**
 * Vitest's global set-up, once a run, before any worker: a private folder for logs and the ledger of secrets, and
 * the real parts, so that test files find them ready and don't race for them.
 *
 * @returns the tear-down.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await checkTemporary().catch(({ message }: Error) => {
    process.stderr.write(`${message}\n`);
    process.exit(6);
  });
  removeLeftBehind(tmpdir(), (line) => process.stderr.write(line));
  const folder = mkdtempSync(join(tmpdir(), `postern-test-${process.pid}-`));
  const logs = join(folder, 'logs');
  mkdirSync(logs, { mode: 0o700 });
  writeFileSync(join(folder, 'ledger'), '', { mode: 0o600 });
  // Some tests start programs as other users.
  chmodSync(folder, 0o711);
  const temporary = join(folder, 't');
  // Whoever is interrupted leaves nothing elsewhere. The path of a Unix socket may have 104 characters.
  if (folder.length < 45) {
    mkdirSync(temporary);
    chmodSync(temporary, 0o1777);
    process.env['TMPDIR'] = temporary;
  }
  // Workers are forked later and inherit these.
  process.env['POSTERN_TEST_RUN'] = basename(folder);
  process.env['POSTERN_TEST_LOGS'] = logs;
  process.env['POSTERN_TEST_LEDGER'] = join(folder, 'ledger');
  process.env['POSTERN_TEST_DOCKER'] = 'no';
  // What V8 makes of a source is made once a run, not by each of some thousand starts of Node.
  process.env['POSTERN_TEST_COMPILED'] = join(folder, 'compiled');
  const swept = startSweeper(folder);
  // An interrupted run has no tear-down; the sweeper and the engine's leash end it all the same.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)
    process.once(signal, () => {
      process.stderr.write('\nStopping: what the tests have started is being ended, and its files removed.\n');
      process.exit(code);
    });
  let stop = async () => {};
  if (project.vitest.projects.some(({ name }) => REAL.includes(name))) {
    await findParts();
    if (project.vitest.projects.some(({ name }) => name === 'openbao')) await findOpenBao();
    stop = await setUpDocker();
  }
  return async () => {
    await stop();
    await swept();
  };
}

/**
 * A shell in a session of its own that waits for the end of this process, however that comes, then ends whatever the run has started and
 * removes its folder (test/sweep.sh).
 * @returns has it do so now
 */
function startSweeper(folder: string): () => Promise<void> {
  const script = fileURLToPath(new URL('sweep.sh', import.meta.url));
  const shell = spawn('/bin/sh', [script, folder, RUN_LABEL], { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const gone = new Promise<void>((resolve) => shell.once('exit', () => resolve()).once('error', () => resolve()));
  shell.stdin.on('error', () => {});
  shell.unref();
  (shell.stdin as unknown as { unref?(): void }).unref?.();
  return async () => {
    shell.ref();
    shell.stdin.end();
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
}

async function setUpDocker(): Promise<() => Promise<void>> {
  const docker = await findDocker();
  if (!docker) return async () => {};
  try {
    process.env['DOCKER_HOST'] = docker.host;
    // Loaded only here: most runs have no Docker.
    const { findImage } = await import('./part/image.ts');
    const image = await findImage();
    process.stderr.write(`docker: ${docker.origin}, image ${image.name} ${image.origin}\n`);
    if (!image.cleaner) process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
    if (await sharesNetwork()) process.env['POSTERN_TEST_HOST_NETWORK'] = 'yes';
    process.env['POSTERN_TEST_DOCKER'] = 'yes';
  } catch (error) {
    // The same tests run on the plain program, so a useless engine is not a failure; it is said aloud.
    process.stderr.write(`docker: not used (${(error as Error).message})\n`);
  }
  return async () => {
    if (process.env['POSTERN_TEST_DOCKER'] === 'yes') await removeLeftovers().catch(() => {});
    await docker.stop();
  };
}

/** Whether a container with host networking sees this machine's loopback: not in a virtual machine, not rootless. */
async function sharesNetwork(): Promise<boolean> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  const { container } = await getContainerRuntimeClient();
  const info = (await container.dockerode.info()) as { OperatingSystem?: string; SecurityOptions?: string[] };
  const apart = /Docker Desktop/.test(info.OperatingSystem ?? '') || info.SecurityOptions?.some((option) => option.includes('rootless'));
  return process.platform === 'linux' && process.env['DOCKER_HOST']?.startsWith('unix:') === true && !apart;
}

/** Containers of tests that were killed before they could stop theirs. */
async function removeLeftovers(): Promise<void> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  const { container } = await getContainerRuntimeClient();
  for (const left of await container.list()) {
    if (left.Labels[RUN_LABEL] === process.env['POSTERN_TEST_RUN']) await container.getById(left.Id).remove({ force: true });
  }
}
