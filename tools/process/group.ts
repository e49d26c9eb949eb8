import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type Options, type Result } from 'execa';
import { killGroup, startReaper, WHEN_WATCHED, type Reaper } from './reaper.ts';

export interface GroupOptions {
  /** Ends it: SIGTERM to the program, and to all that it has started SIGKILL when it has ended or `graceMs` later. */
  signal?: AbortSignal | undefined;
  /** Milliseconds. Default 3000. */
  graceMs?: number;
  /** Who ends all of it when we are killed. Default: one of its own. */
  reaper?: Reaper | undefined;
  /** Where its temporary folder is made. Default: ours. */
  temporary?: string | undefined;
}

const FIXED = { extendEnv: false, reject: false, stdin: 'pipe', detached: true } as const;

/**
 * Runs a program to its end in a process group and a temporary folder of its own. However it ends, and however we do, what it has started
 * ends too, and the folder goes. Ctrl-C in a terminal reaches us alone.
 */
export async function runGroup<Given extends Options & { env: Record<string, string> }>(
  program: string,
  args: readonly string[],
  given: Given,
  { signal, graceMs = 3_000, reaper: theirs, temporary = tmpdir() }: GroupOptions = {},
): Promise<Result<Given & typeof FIXED>> {
  const reaper = theirs ?? startReaper();
  const folder = mkdtempSync(join(temporary, 'postern-run-'));
  reaper.watchFolder(folder);
  const running = execa('/bin/sh', ['-c', WHEN_WATCHED, program, ...args], { ...given, ...FIXED, env: { ...given.env, TMPDIR: folder } });
  const { pid } = running;
  if (pid !== undefined) reaper.watch(pid);
  running.stdin.on('error', () => {});
  running.stdin.end('watched\n');
  let hard: NodeJS.Timeout | undefined;
  const abort = (): void => {
    running.kill('SIGTERM');
    hard = setTimeout(() => pid !== undefined && killGroup(pid, 'SIGKILL'), graceMs);
  };
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return (await running) as unknown as Result<Given & typeof FIXED>;
  } finally {
    clearTimeout(hard);
    signal?.removeEventListener('abort', abort);
    if (pid !== undefined) {
      killGroup(pid, 'SIGKILL');
      reaper.forget(pid);
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    if (theirs === undefined) await reaper.close();
  }
}
