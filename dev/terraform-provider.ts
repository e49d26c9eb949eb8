import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Part } from '#tools/part/part.ts';
import { killGroup, WHEN_WATCHED } from '#tools/process/reaper.ts';
import type { Reaper } from '#tools/process/reaper.ts';

/** By which a provider knows that it was started on purpose: https://developer.hashicorp.com/terraform/plugin/best-practices/interacting */
const MAGIC_COOKIE = 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2';
const START_MS = 10_000;
/** How a program in Go says that it ends, and whose calls of it are worth telling then. */
const CRASH = /^(panic|fatal error|SIGQUIT): /;
const CALL = /^([^\s(]*(?:vault|provider|openbao)[^\s(]*(?:\(\*\w+\)[^\s(]*)?)\(/;
const CALLS = 8;

export interface Attached extends AsyncDisposable {
  /** With which Terraform uses the providers that run. */
  env: Readonly<Record<string, string>>;
  /** What those said that have crashed, a line each: Terraform knows only that they don't answer. */
  crashes(): readonly string[];
  /** Ends them, and has them tell where they wait, as if they had crashed. */
  end(): void;
}

interface Running {
  /** As Terraform names it: `HOST/hashicorp/vault`. */
  name: string;
  pid: number;
  protocol: number;
  socket: string;
}

/**
 * Starts providers for the commands that follow. Terraform itself starts each anew for every step of every command, eight times an apply,
 * and that is half of an apply's processor time. One that can't be started like this is left to Terraform.
 * @param env of the provider, which reads its address and its token there
 */
export async function attachProviders(parts: readonly Part[], env: Readonly<Record<string, string>>, reaper: Reaper): Promise<Attached> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-run-'));
  reaper.watchFolder(folder);
  const pids: number[] = [];
  const crashes: string[] = [];
  const started = await Promise.all(
    // A packed one would have to be unpacked first.
    parts.filter(({ path }) => !path.endsWith('.zip')).map((part) => start(part, { ...env, TMPDIR: folder }, reaper, pids, crashes)),
  );
  const running = started.filter((one) => one !== undefined);
  const described = running.map(({ name, pid, protocol, socket }) => [
    name,
    // `Test`: Terraform leaves it running.
    { Protocol: 'grpc', ProtocolVersion: protocol, Pid: pid, Test: true, Addr: { Network: 'unix', String: socket } },
  ]);
  return {
    env: running.length === 0 ? {} : { TF_REATTACH_PROVIDERS: JSON.stringify(Object.fromEntries(described)) },
    crashes: () => crashes,
    end() {
      for (const { pid } of running) killGroup(pid, 'SIGQUIT');
    },
    async [Symbol.asyncDispose]() {
      for (const pid of pids) {
        killGroup(pid, 'SIGKILL');
        reaper.forget(pid);
      }
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function start(
  { name, path }: Part,
  env: Record<string, string>,
  reaper: Reaper,
  pids: number[],
  crashes: string[],
): Promise<Running | undefined> {
  const child = spawn('/bin/sh', ['-c', WHEN_WATCHED, path], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...env, TF_PLUGIN_MAGIC_COOKIE: MAGIC_COOKIE, PLUGIN_PROTOCOL_VERSIONS: '5,6' },
  });
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  const { pid } = child;
  if (pid === undefined) return undefined;
  pids.push(pid);
  reaper.watch(pid);
  child.stdin.end('watched\n');
  // Of all that it logs only this, and names of functions: the rest may tell what it sends.
  let calls = -1;
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (CRASH.test(line)) {
      crashes.push(`${name}: ${line}`);
      calls = 0;
      return;
    }
    const call = calls === -1 || calls === CALLS ? undefined : CALL.exec(line)?.[1];
    if (call === undefined) return;
    crashes.push(`${name}: in ${call}`);
    calls++;
  });
  // Its first line says where it listens: CORE|PROTOCOL|unix|SOCKET|grpc|
  const line = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout })
      .once('line', resolve)
      .once('close', () => resolve(''));
    setTimeout(resolve, START_MS, '').unref();
  });
  const [, protocol, network, socket, kind] = line.split('|');
  if (network !== 'unix' || kind !== 'grpc' || socket === undefined) return undefined;
  child.unref();
  // MIRROR/HOST/hashicorp/vault/VERSION/PLATFORM/FILE
  return { name: path.split('/').slice(-6, -3).join('/'), pid, protocol: Number(protocol), socket };
}
