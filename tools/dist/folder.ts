import { readdir, rm } from 'node:fs/promises';
import { PosternError } from '#broker/error.ts';
import { checkPlace, checkTemporary, unwritable } from '#tools/process/storage.ts';
import type { Place } from '#tools/process/storage.ts';

/**
 * Runs a build whose files go to a folder, once it is known that they can be written there.
 * @param bytes that the build needs there
 * @throws Unwritable before anything was begun, or where the disk fills up meanwhile
 */
export async function intoFolder<T>(folder: string, bytes: number, build: () => Promise<T>): Promise<T> {
  const place: Place = {
    what: 'The folder for what is built',
    remedy: 'Make it writable for you, or name another: ARGS="--folder PATH".',
    bytes,
  };
  await checkTemporary();
  await checkPlace(folder, place);
  try {
    return await build();
  } catch (error) {
    throw await unwritable(error, folder, place, ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT']);
  }
}

/**
 * Removes a folder that an earlier build has filled.
 * @param ours the names that builds make in it
 * @throws PosternError misconfigured where it holds anything else, and then nothing is removed
 */
export async function emptyFolder(folder: string, ours: RegExp): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const others = names.filter((name) => !ours.test(name)).sort();
  if (others.length > 0)
    throw new PosternError(
      'misconfigured',
      `${folder} would be emptied, and holds something that no build has made (${others.slice(0, 3).join(', ')}` +
        `${others.length > 3 ? ', …' : ''}): name another by ARGS="--folder PATH"`,
    );
  await rm(folder, { recursive: true, force: true });
}

/** Tells a person that a build failed, and ends with the exit code of it. */
export function failed(error: unknown): void {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = error instanceof PosternError ? error.exitCode : 1;
}
