import { readFile, rm, writeFile } from 'node:fs/promises';
import { PosternError } from '#broker/error.ts';

export interface Lock {
  release(): Promise<void>;
}

/** One that a killed process left is taken over. @throws {PosternError} conflict where another process has it */
export async function takeLock(lock: string): Promise<Lock> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeFile(lock, String(process.pid), { flag: 'wx', mode: 0o600 });
      return { release: () => rm(lock, { force: true }) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') throw new PosternError('invalid_request', `${lock} can't be written (${code})`);
    }
    const pid = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (attempt > 0 || (pid > 0 && runs(pid)))
      throw new PosternError('conflict', `Another run uses this journal (process ${pid})`, {
        detail: `Wait for it. If there is none, remove ${lock}.`,
      });
    await rm(lock, { force: true });
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
