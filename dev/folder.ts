import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PosternError } from '#broker/error.ts';
import { alone } from '#tools/part/cache.ts';
import { isRunning } from '#tools/process/running.ts';
import { checkPlace } from '#tools/process/storage.ts';
import type { Place } from '#tools/process/storage.ts';

const STACKS = fileURLToPath(new URL('../.postern', import.meta.url));
const STACKS_PLACE: Place = {
  what: 'The folder for what runs',
  remedy: 'Make the checkout writable for you, or use a copy of it elsewhere.',
  bytes: 100e6,
};

/**
 * Makes the folder of that name ours. One whose owner is gone (killed together with its reaper, or a power cut) is taken over empty.
 * @throws PosternError `conflict` when its owner is alive; Unwritable
 */
export async function takeFolder(name: string): Promise<string> {
  await checkPlace(STACKS, STACKS_PLACE);
  const folder = join(STACKS, name);
  // One at a time: of two that start in one moment, the second must see that the first is there.
  await alone(
    STACKS,
    name,
    () => {},
    async () => {
      for (const entry of await readdir(STACKS)) {
        const owner = await ownerOf(join(STACKS, entry));
        if (entry === name && owner !== undefined && owner !== process.pid && isRunning(owner))
          throw new PosternError('conflict', `It is running already, as process ${owner}. Stop that one first.`);
        const left = entry === name || (/^stack-\d+$/.test(entry) && owner !== undefined && !isRunning(owner));
        if (left) await rm(join(STACKS, entry), { recursive: true, force: true, maxRetries: 3 });
      }
      // Never there without its owner's name.
      const made = join(STACKS, `.${process.pid}`);
      await rm(made, { recursive: true, force: true });
      await mkdir(made, { mode: 0o700 });
      await writeFile(join(made, 'pid'), String(process.pid));
      await rename(made, folder);
    },
    STACKS_PLACE,
  );
  return folder;
}

async function ownerOf(folder: string): Promise<number | undefined> {
  const owner = Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => ''));
  return owner > 0 ? owner : undefined;
}
