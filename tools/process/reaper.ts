import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/**
 * Ends our children when we ourselves are killed so hard that we can't (`kill -9`, a crash, the
 * terminal closed). Vault is not our program and watches nothing, so a shell of a few lines holds
 * the other end of a pipe: when the pipe closes without the word `done`, it kills the process
 * groups that it was told of and removes their folders. A shell, not Node, since it starts in a
 * millisecond and costs a megabyte. Works the same on Linux and macOS.
 */
const SCRIPT = `
trap '' INT TERM HUP QUIT
pids=''; newline='
'; folders=''
while IFS=' ' read -r verb value; do
  case "$verb" in
    pid) pids="$pids $value" ;;
    gone) kept=''; for p in $pids; do [ "$p" = "$value" ] || kept="$kept $p"; done; pids="$kept" ;;
    folder) folders="$folders$value$newline" ;;
    done) exit 0 ;;
  esac
done
for p in $pids; do kill -s TERM -- "-$p" 2>/dev/null; done
for i in 1 2 3 4 5 6 7 8 9 10; do
  left=''
  for p in $pids; do if kill -s 0 -- "-$p" 2>/dev/null; then left=1; fi; done
  [ -n "$left" ] || break
  sleep 0.1
done
for p in $pids; do kill -s KILL -- "-$p" 2>/dev/null; done
printf '%s' "$folders" | while IFS= read -r f; do rm -rf -- "$f" || { sleep 0.2; rm -rf -- "$f"; }; done
`;

/** Stands on the shell's command line, so that whoever ends a whole run of tests lets it finish (test/run.ts). */
const NAME = 'postern-reaper';

export interface Reaper {
  /** A child that leads its own process group (spawned `detached`). */
  watch(pid: number): void;
  /** It has ended: its pid may soon belong to somebody else. */
  forget(pid: number): void;
  /** A folder to remove, too, should we be killed. One path, without a line break. */
  watchFolder(path: string): void;
  /** All is ended in good order; resolves when the reaper itself has gone. */
  close(): Promise<void>;
}

/** What each reaper of this process does when there is no time for good order. */
const atOnce = new Set<() => Promise<void>>();

/**
 * A script for `sh -c` with a program and its arguments, which begins when it is told on its input that its end is seen to: were we killed
 * before, nobody would end it.
 */
export const WHEN_WATCHED = 'read -r watched && exec "$0" "$@" </dev/null';

/** Ends all that this process has started through a reaper, and removes its folders, in about a second. */
export async function endAtOnce(): Promise<void> {
  await Promise.all([...atOnce].map((end) => end()));
}

export function startReaper(): Reaper {
  // Its own session: the terminal's Ctrl-C must not end it before us.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, NAME], { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const gone = new Promise<void>((resolve) => shell.once('exit', () => resolve()).once('error', () => resolve()));
  const pipe: Writable = shell.stdin;
  pipe.on('error', () => {}); // it has died: nothing better to do than to go on without
  // Neither the process nor its pipe keeps us alive.
  shell.unref();
  (pipe as Writable & { unref?(): void }).unref?.();
  let over = false;
  const say = (line: string): void => void (over || pipe.write(`${line}\n`));
  const end = async (last: string): Promise<void> => {
    shell.ref();
    if (!over) pipe.end(last);
    over = true;
    await gone;
    atOnce.delete(abandon);
  };
  const abandon = (): Promise<void> => end('');
  atOnce.add(abandon);
  return {
    watch(pid) {
      // Nobody watches any more: what starts now ends now.
      if (over) return killGroup(pid, 'SIGKILL');
      say(`pid ${pid}`);
    },
    forget: (pid) => say(`gone ${pid}`),
    watchFolder: (path) => say(`folder ${path}`),
    close: () => end('done\n'),
  };
}

/** To a process and all that it has started; nothing when they have ended. */
export function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // They ended in this moment.
  }
}
