import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink, utimes } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '#tools/process/running.ts';
import { checkPlace, unwritable, type Place } from '#tools/process/storage.ts';
import type { Report } from './part.ts';

const BEAT_MS = 2_000;
/** A lock whose holder has not touched it for so long is taken to be left behind. */
const STALE_MS = 15_000;
/** What another machine has left in a shared cache is swept away after so long: only that machine knows whether it is at work there. */
const ABANDONED_MS = 86_400_000;

export const CACHE: Place = {
  what: 'The cache of parts',
  remedy: 'Make room for it there, or let XDG_CACHE_HOME name another folder.',
  bytes: 1e6,
};

/** What a part takes while it is got: the archive, and what is in it. */
const PART_BYTES = 700e6;

/** Process ids mean something only among those who share them: on one machine, in one container. */
const KIN = createHash('sha256').update(`${hostname()} ${namespace()}`).digest('hex').slice(0, 8);

function namespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** `$XDG_CACHE_HOME/postern`, else `~/.cache/postern`. The XDG rule ignores a relative value. */
export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base && isAbsolute(base) ? base : join(env['HOME'] ?? homedir(), '.cache'), 'postern');
}

/**
 * A private folder in the cache for the time of `work`. What an interrupted process leaves behind, the next call sweeps away.
 * @throws Unwritable
 */
export async function inScratch<T>(cache: string, work: (scratch: string) => Promise<T>): Promise<T> {
  const rooms = join(cache, 'tmp');
  await checkPlace(rooms, CACHE);
  await sweep(rooms);
  const scratch = join(rooms, `${process.pid}-${KIN}-${randomBytes(6).toString('hex')}`);
  await mkdir(scratch);
  try {
    return await work(scratch);
  } catch (error) {
    // The disk may have become full on the way.
    throw await unwritable(error, cache, CACHE, ['ENOSPC', 'EDQUOT']);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Puts a file or folder into the cache whole or not at all: `make` fills a scratch folder of the same file
 * system and returns the path in there that is then renamed into place.
 */
export function place(cache: string, target: string, make: (scratch: string) => Promise<string>): Promise<string> {
  return inScratch(cache, async (scratch) => {
    const made = await make(scratch);
    await settle(made);
    await mkdir(dirname(target), { recursive: true });
    await rename(made, target);
    return target;
  });
}

/** A power cut after the rename must not leave a file with holes under the final name. */
async function settle(path: string): Promise<void> {
  if ((await stat(path)).isDirectory()) {
    for (const entry of await readdir(path)) await settle(join(path, entry));
    return;
  }
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sweep(rooms: string): Promise<void> {
  for (const entry of await readdir(rooms)) {
    const [pid, kin] = entry.split('-');
    const room = join(rooms, entry);
    const idle = kin === KIN || !/^[0-9a-f]{8}$/.test(kin ?? '') ? 0 : ABANDONED_MS;
    const left = !isRunning(Number(pid)) && Date.now() - (await stat(room).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs >= idle;
    // Several may sweep at once, and each then finds some of it gone.
    if (left) await rm(room, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

/**
 * Lets one process at a time do `work` under a name, so that two runs don't build the same part twice.
 * It saves work only: correctness comes from the rename in {@link place}, which holds without it.
 *
 * @throws Unwritable
 */
export async function alone<T>(
  cache: string,
  name: string,
  report: Report,
  work: () => Promise<T>,
  place: Place = { ...CACHE, bytes: PART_BYTES },
): Promise<T> {
  const path = join(cache, `${name}.lock`);
  await checkPlace(cache, place);
  let told = false;
  while (!(await take(path))) {
    if (!told) report(`${name}: it is being got already; waiting`);
    told = true;
    await sleep(250);
  }
  const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), BEAT_MS);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    if ((await readFile(path, 'utf8').catch(() => '')) === String(process.pid)) await unlink(path).catch(() => {});
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = Number(await readFile(path, 'utf8').catch(() => ''));
  const touched = await stat(path).then(
    (entry) => entry.mtimeMs,
    () => Date.now(),
  );
  // The pid alone is not enough: the cache may be shared by containers that can't see one another's.
  if (Date.now() - touched > STALE_MS || (holder > 0 && !isRunning(holder) && Date.now() - touched > BEAT_MS * 2)) {
    await unlink(path).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else took it away. But what can't be taken away would be waited for for ever.
      if (error.code !== 'ENOENT') throw await unwritable(error, path, CACHE);
    });
  }
  return false;
}
