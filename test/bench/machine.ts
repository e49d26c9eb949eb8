import { cpus, loadavg, release, totalmem } from 'node:os';
import { execa } from 'execa';
import { checkout, versions } from '#tools/part/version.ts';

/** On what something was measured. */
export interface Machine {
  cpu: string;
  cores: number;
  /** GB. */
  memory: number;
  system: string;
  node: string;
  vault: string;
  /** What others did when it began: processes that wanted a core, over the last minute. */
  load: number;
  commit: string;
}

export async function machineOf(): Promise<Machine> {
  const all = cpus();
  const git = async (...args: string[]): Promise<string> => (await execa('git', args, { cwd: checkout, reject: false })).stdout ?? '';
  const changed = (await git('status', '--porcelain', '--untracked-files=no', '--', 'broker')) !== '';
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memory: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release().split('.').slice(0, 2).join('.')}`,
    node: process.version,
    vault: versions.vault.version,
    load: Math.round(loadavg()[0]! * 10) / 10,
    commit: `${await git('rev-parse', '--short=10', 'HEAD')}${changed ? ' and changes' : ''}`,
  };
}
