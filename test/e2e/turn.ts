import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until no other test file of this run has the turn: `postern dev` runs once in a checkout, and files run side by side.
 * @param limitMs how long, in ms
 * @returns gives the turn back, as Vitest does with what `beforeAll` returns once every `afterAll` has run
 * @throws Error when it doesn't come in time
 */
export async function takeTurn(name: string, limitMs = 280_000): Promise<() => Promise<void>> {
  const folder = join(process.env['POSTERN_TEST_LOGS'] ?? '.', '..', `turn-${name}`);
  for (const until = Date.now() + limitMs; ; await sleep(100)) {
    const mine = await mkdir(folder).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        return false;
      },
    );
    if (mine) return () => rmdir(folder);
    if (Date.now() > until) throw new Error(`another test file keeps ${name} for longer than ${limitMs} ms`);
  }
}
