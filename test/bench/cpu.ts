import { readFile } from 'node:fs/promises';

/** What the kernel counts processor time in, µs: a hundredth of a second on every Linux. */
const TICK = 10_000;

/** Processor time that processes have used, user and system, threads that ended included, µs; undefined where there is no /proc. */
export async function cpuTime(pids: readonly number[]): Promise<number | undefined> {
  try {
    const used = await Promise.all(
      pids.map(async (pid) => {
        // The name in parentheses may hold spaces.
        const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
        return (Number(fields[11]) + Number(fields[12])) * TICK;
      }),
    );
    return used.reduce((sum, one) => sum + one, 0);
  } catch {
    return undefined;
  }
}
