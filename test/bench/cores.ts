import { availableParallelism, cpus } from 'node:os';
import { execa } from 'execa';

/** Servers run on core 0, whoever makes the load on core 1, so that neither takes time from the other. */
export const SERVER_CORE = '0';
export const LOAD_CORE = '1';
/** For latency, one request at a time: nobody competes, and Vault and the broker are not made to share a core. */
export const ALL_CORES = `0-${Math.max(cpus().length, availableParallelism()) - 1}`;

/**
 * Moves every thread of a process. @returns false where there is no taskset (macOS): then the numbers are rougher, and the report says so.
 */
export async function pin(pid: number, core: string): Promise<boolean> {
  const { failed } = await execa('taskset', ['-a', '-c', '-p', core, String(pid)], { reject: false });
  return !failed;
}
