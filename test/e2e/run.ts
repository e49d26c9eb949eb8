import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keptCompiled } from '#test/fixture/compile-cache.ts';
import { cacheDirectory } from '#tools/part/cache.ts';

/** A program of ours, run as a user runs it: own process group, home and temporary folder of its own. */
export interface Run {
  pid: number;
  out(): string;
  err(): string;
  /** To it alone, as `kill` does. */
  kill(signal: NodeJS.Signals): void;
  /** To its process group, as a terminal does on Ctrl-C. */
  press(signal: NodeJS.Signals): void;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Command lines of what it has started, however deep, as far as they say so. */
  processes(): string[];
  /** Resolves when stderr or stdout holds the text. @throws Error when it ends first */
  until(text: string): Promise<void>;
  /** What it left behind: processes of its stack, its stack's folder, files in home and temporary folder. */
  leftovers(): Promise<string[]>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param stack name of the folder in `.postern/`; by default the one that the demo names after its pid */
export function run(args: string[], options: { env?: Record<string, string>; stack?: string; checkout?: string } = {}): Run {
  const root = options.checkout ?? '.';
  const scratch = mkdtempSync(join(tmpdir(), 'postern-e2e-'));
  const [home, temporary] = [join(scratch, 'home'), join(scratch, 'tmp')];
  mkdirSync(home);
  mkdirSync(temporary);
  const child: ChildProcess = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: root,
    env: {
      ...process.env,
      ...keptCompiled(),
      // The parts are found where they lie; everything else would be litter.
      XDG_CACHE_HOME: join(cacheDirectory(process.env), '..'),
      HOME: home,
      TMPDIR: temporary,
      ...options.env,
    },
  });
  const pid = child.pid as number;
  const stack = options.stack ?? `stack-${pid}`;
  const texts = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (texts.out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (texts.err += text));
  let over = false;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => {
      over = true;
      resolve({ code, signal });
    });
  });
  return {
    pid,
    out: () => texts.out,
    err: () => texts.err,
    kill: (signal) => void child.kill(signal),
    press: (signal) => void process.kill(-pid, signal),
    ended,
    processes: () => processesOf([scratch, resolve(root, '.postern', stack)]),
    async until(text) {
      while (!texts.out.includes(text) && !texts.err.includes(text)) {
        if (over) throw new Error(`it ended without saying "${text}":\n${texts.out}\n${texts.err}`);
        await sleep(10);
      }
    },
    async leftovers() {
      // The reaper and init need a moment after the end.
      for (let i = 0; ; i += 1) {
        const left = [
          // Of this checkout: somebody may have `make dev` running in another.
          ...processesOf([scratch, resolve(root, '.postern', stack)]),
          ...(existsSync(join(root, '.postern', stack)) ? [`.postern/${stack}`] : []),
          ...[home, temporary].flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)))),
        ];
        if (left.length === 0 || i === 60) return left;
        await sleep(100);
      }
    },
    async [Symbol.asyncDispose]() {
      if (!over) child.kill('SIGKILL');
      await ended;
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** Processes that name one of the folders on their command line or in their environment. */
function processesOf(folders: readonly string[]): string[] {
  const names = (text: string): boolean =>
    folders.some((folder) => [`${folder}/`, `${folder}\0`, `${folder} `].some((it) => text.includes(it)));
  if (process.platform !== 'linux')
    return execFileSync('ps', ['-axEww', '-o', 'pid=,command='], { encoding: 'utf8' }).split('\n').filter(names);
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [line, environment] = [readFileSync(`/proc/${pid}/cmdline`, 'utf8'), readFileSync(`/proc/${pid}/environ`, 'utf8')];
      if (names(`${line}\0${environment}\0`)) found.push(`process ${pid} ${line.replaceAll('\0', ' ')}`);
    } catch {
      // It has gone, or is not ours to look at.
    }
  }
  return found;
}
