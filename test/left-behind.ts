import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning } from '#tools/process/running.ts';

const MOUNTS = '/proc/self/mounts';

/**
 * Removes the folders of runs that were killed: they name secrets. What can't be removed is told, and stays.
 * @param among where runs have their folders
 */
export function removeLeftBehind(among: string, tell: (line: string) => void, unmount = detach): void {
  for (const entry of readdirSync(among)) {
    const pid = /^postern-test-(\d+)-/.exec(entry)?.[1];
    if (!pid || isRunning(Number(pid))) continue;
    const folder = join(among, entry);
    try {
      // Where something is mounted, nothing can be removed: the small disk of a fault, for one.
      for (const mounted of mountsBelow(realpathSync(folder))) unmount(mounted);
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      tell(`A killed run of the tests has left ${folder}, which can't be removed: ${(error as Error).message}\n`);
    }
  }
}

/** The innermost first. */
function mountsBelow(folder: string): string[] {
  const lines = existsSync(MOUNTS) ? readFileSync(MOUNTS, 'utf8').split('\n') : [];
  return (
    lines
      // Blanks and the like are written in octal there.
      .map((line) => (line.split(' ')[1] ?? '').replace(/\\(\d{3})/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 8))))
      .filter((path) => path.startsWith(`${folder}/`))
      .toReversed()
  );
}

/** Also where somebody still has a file open there. */
function detach(path: string): void {
  spawnSync('umount', ['--lazy', path], { stdio: 'ignore' });
}
