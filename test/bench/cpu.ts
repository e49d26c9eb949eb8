import { readFile } from 'node:fs/promises';

/** What the kernel counts processor time in, µs: a hundredth of a second on every Linux. */
const TICK = 10_000;

/** µs */
export interface CpuTime {
  readonly all: number;
  /** Of it, in the program itself: a virtual machine's price of waking a client moves the rest. */
  readonly user: number;
}

/** Processor time that processes have used, threads that ended included; undefined where there is no /proc. */
export async function cpuTime(pids: readonly number[]): Promise<CpuTime | undefined> {
  try {
    const used = await Promise.all(
      pids.map(async (pid) => {
        // The name in parentheses may hold spaces.
        const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
        const user = Number(fields[11]) * TICK;
        return { user, all: user + Number(fields[12]) * TICK };
      }),
    );
    return used.reduce((sum, one) => ({ user: sum.user + one.user, all: sum.all + one.all }));
  } catch {
    return undefined;
  }
}
