import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { killGroup } from '#tools/process/reaper.ts';
import type { Reaper } from '#tools/process/reaper.ts';

export interface ChildOptions {
  name: string;
  command: string;
  /** Never a secret: everybody on the machine can read a command line. */
  args: readonly string[];
  /** The whole environment: nothing of ours is inherited, so that no setting of the user's shell leaks in. */
  env: Record<string, string>;
  cwd?: string;
  /** Where both output streams go. Created 0600. */
  logFile: string;
  reaper: Reaper;
  /** What it has started ends by itself when it is gone: that is what is tried. Default: it is killed with it. */
  leavesOthers?: boolean;
  /** Sees each line before it is written; what it returns is written instead, `undefined` drops the line. */
  filter?: (line: string) => string | undefined;
}

export interface Child {
  name: string;
  pid: number;
  /** Resolves when it has ended, with how: `code 1`, `signal SIGKILL`. Never rejects. */
  ended: Promise<string>;
  readonly running: boolean;
  /** SIGTERM to its process group, SIGKILL after `grace` milliseconds. Resolves when it has gone; twice is harmless. */
  stop(grace?: number): Promise<void>;
}

/**
 * Starts a program in its own process group, so that Ctrl-C in a terminal reaches only us and we
 * can end our children in order.
 * @throws Error when the program can't be started at all
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  // At once, so that no moment is left in which nobody would end it.
  if (child.pid !== undefined) options.reaper.watch(child.pid);
  await once(child, 'spawn');
  const pid = child.pid as number;

  const log = createWriteStream(options.logFile, { flags: 'a', mode: 0o600 });
  log.on('error', () => {}); // the folder is gone: we are stopping
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      const kept = options.filter ? options.filter(line) : line;
      if (kept !== undefined) log.write(`${kept}\n`);
    });
  }

  let running = true;
  const ended = new Promise<string>((resolve) => {
    // `close`, not `exit`: the last lines of output have arrived by then.
    child.once('close', (code, signal) => {
      running = false;
      // What it has started, and left.
      if (!options.leavesOthers) killGroup(pid, 'SIGKILL');
      options.reaper.forget(pid);
      log.end(() => resolve(signal === null ? `code ${code}` : `signal ${signal}`));
    });
  });
  return {
    name: options.name,
    pid,
    ended,
    get running() {
      return running;
    },
    async stop(grace = 5_000) {
      if (!running) return void (await ended);
      killGroup(pid, 'SIGTERM');
      const hard = setTimeout(() => killGroup(pid, 'SIGKILL'), grace);
      await ended;
      clearTimeout(hard);
    },
  };
}
