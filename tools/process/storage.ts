import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PosternError } from '#broker/error.ts';

/** A place where something must be written, in words for a person. */
export interface Place {
  /** Begins the sentence: `The cache of parts`. */
  what: string;
  /** What to do where it can't be written: a sentence. */
  remedy: string;
  /** Bytes that will be needed there. Default: a few. */
  bytes?: number;
  /** It must be there already. Default: it is made. */
  there?: boolean;
}

/** Something can't be written: what, why and what to do, on one line. No other way of getting the same thing is worth a try. */
export class Unwritable extends PosternError {
  constructor(path: string, { what, remedy }: Pick<Place, 'what' | 'remedy'>, why: string) {
    super('misconfigured', `${what} can't be written (${path}): ${why}. ${remedy}`);
  }
}

/** The temporary folder, for every program that we start as well. */
export const TEMPORARY: Place = {
  what: 'The temporary folder',
  remedy: 'Let TMPDIR name a folder that is there and that you may write.',
  bytes: 20e6,
  there: true,
};

/** Looks at {@link TEMPORARY}. @throws Unwritable */
export const checkTemporary = (): Promise<void> => checkPlace(tmpdir(), TEMPORARY);

/**
 * Makes a folder where it isn't there and writes to it for a try, so that a fault is told before anything was begun.
 *
 * @throws Unwritable
 */
export async function checkPlace(folder: string, place: Place): Promise<void> {
  const probe = join(folder, `.postern-${process.pid}-${randomBytes(4).toString('hex')}`);
  try {
    if (place.there !== true) await makeFolder(folder);
    await writeFile(probe, Buffer.alloc(4096), { flag: 'wx' });
    // Another that begins at the same time may have swept it away.
    await rm(probe, { force: true });
  } catch (error) {
    await rm(probe, { force: true }).catch(() => {});
    throw await unwritable(error, folder, place);
  }
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (place.bytes !== undefined && free < place.bytes)
    throw new Unwritable(folder, place, `${megabytes(free)} MB are free there, ${megabytes(place.bytes)} MB are needed`);
}

/**
 * Such an error, or `error` itself where it tells of something else than a place that can't be written.
 * @param only the codes to look for; default all
 */
export async function unwritable(error: unknown, folder: string, place: Place, only?: readonly string[]): Promise<unknown> {
  const { code } = error as NodeJS.ErrnoException;
  const why =
    code === undefined || only?.includes(code) === false
      ? undefined
      : (WHY[code] ?? (code === 'EACCES' || code === 'EPERM' ? await notOurs(folder) : undefined));
  return why === undefined ? error : new Unwritable(folder, place, why);
}

const WHY: Partial<Record<string, string>> = {
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'your disk quota is used up',
  ENOENT: 'there is no such folder',
  ENOTDIR: 'a part of this path is a file',
  EEXIST: 'a file has this name',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'its symbolic links lead in a circle',
};

/**
 * Like `mkdir -p`. Node's own `recursive` never ends where a folder is there in which none can be made, as below /proc.
 * @throws NodeJS.ErrnoException
 */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && (await isFolder(folder))) return;
    if (code === 'EEXIST') {
      if (await isFolder(folder)) return;
      throw error;
    }
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder));
    await mkdir(folder).catch(async (again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST' || !(await isFolder(folder))) throw again;
    });
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Whose the folder is, or the nearest one above it that is there. */
async function notOurs(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found === undefined && dirname(at) !== at) continue;
    const us = process.getuid?.();
    if (found === undefined || found.uid === us) return 'permission is denied';
    return `${at === folder ? 'it' : at} belongs to ${found.uid === 0 ? 'root' : `user ${found.uid}`}, and you are user ${us}`;
  }
}

const megabytes = (bytes: number): number => Math.floor(bytes / 1e6);
