import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('leash.sh', import.meta.url));

export interface LeashOptions {
  env: NodeJS.ProcessEnv;
  /** File that receives standard output and error, mode 0600, appended. */
  log: string;
  cwd?: string;
  /** Seconds between SIGTERM and SIGKILL. */
  grace?: number;
  /** Shell command run once the program has ended, also when its owner was killed. Made of trusted text only. */
  after?: string;
}

/** A running program that ends with this process, however this process ends. */
export interface Leashed {
  pid: number;
  /** Settles with the exit code once the program and its clean-up command are through. */
  exited: Promise<number | null>;
  /** SIGTERM, SIGKILL after the grace, then the clean-up command. Safe to call again. */
  stop: () => Promise<void>;
}

/**
 * Starts a program in its own process group, so that Ctrl-C reaches only its owner, who then stops what it
 * owns in the right order.
 *
 * @throws Error when the program can't be started.
 */
export async function startLeashed(program: string, args: readonly string[], options: LeashOptions): Promise<Leashed> {
  const log = openSync(options.log, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn('/bin/sh', [SCRIPT, String(options.grace ?? 5), options.after ?? '', program, ...args], {
      env: options.env,
      stdio: ['pipe', log, log, 'pipe'],
      detached: true,
      ...(options.cwd ? { cwd: options.cwd } : {}),
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  await once(child, 'spawn');
  // A program that ended early has closed the pipe; that is seen by `exited`.
  child.stdin?.on('error', () => {});
  // Neither the child nor its pipes may keep an owner alive that has nothing left to do.
  child.unref();
  (child.stdin as unknown as { unref?(): void }).unref?.();
  const pid = Number(await firstLine(child.stdio[3] as Readable));
  if (!pid) throw new Error(`${program} can't be started`);
  return {
    pid,
    exited,
    async stop() {
      child.ref();
      child.stdin?.end();
      await exited;
    },
  };
}

async function firstLine(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += chunk;
    if (text.includes('\n')) break;
  }
  return text.trim();
}
