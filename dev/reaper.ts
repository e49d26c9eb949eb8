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
trap '' INT TERM HUP
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
[ -z "$pids" ] || sleep 1
for p in $pids; do kill -s KILL -- "-$p" 2>/dev/null; done
printf '%s' "$folders" | while IFS= read -r f; do rm -rf -- "$f"; done
`;

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

export function startReaper(): Reaper {
  // Its own session: the terminal's Ctrl-C must not end it before us.
  const shell = spawn('/bin/sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const gone = new Promise<void>((resolve) => shell.once('exit', () => resolve()).once('error', () => resolve()));
  const pipe: Writable = shell.stdin;
  pipe.on('error', () => {}); // it has died: nothing better to do than to go on without
  // Neither the process nor its pipe keeps us alive.
  shell.unref();
  (pipe as Writable & { unref?(): void }).unref?.();
  const say = (line: string): void => void pipe.write(`${line}\n`);
  return {
    watch: (pid) => say(`pid ${pid}`),
    forget: (pid) => say(`gone ${pid}`),
    watchFolder: (path) => say(`folder ${path}`),
    async close() {
      shell.ref();
      pipe.end('done\n');
      await gone;
    },
  };
}
