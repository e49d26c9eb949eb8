import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';

const ATTEMPTS = 8;

/** For work on many: a quota of Vault is waited for, some ten seconds in all. What it refused was not carried out. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'too_many_requests') || attempt === ATTEMPTS) throw error;
      await sleep(250 * attempt + Math.random() * 250);
    }
  }
}
