import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeLeftBehind } from '#test/left-behind.ts';
import { checkout } from '#tools/part/version.ts';

let among: string;
const told: string[] = [];
/** Of a process that is gone. */
let gone: number;
beforeEach(() => {
  told.length = 0;
  among = mkdtempSync(join(tmpdir(), 'left '));
  gone = spawnSync('true').pid;
});
afterEach(() => {
  spawnSync('umount', ['--lazy', join(mine(), 'data')]);
  rmSync(among, { recursive: true, force: true });
});

const mine = (): string => join(among, `postern-test-${gone}-a`);

function folder(pid: number, name: string): string {
  const made = join(among, `postern-test-${pid}-${name}`);
  mkdirSync(join(made, 'data'), { recursive: true });
  writeFileSync(join(made, 'ledger'), '');
  return made;
}

/** As `test/fault/disk.ts` leaves it. */
const mount = (on: string) => execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', join(on, 'data')]);
const remove = (unmount?: (path: string) => void): void => removeLeftBehind(among, (line) => told.push(line), unmount);

it('removes what a run left that was killed, and nothing of one that goes on or of others', () => {
  const left = folder(gone, 'a');
  const going = folder(process.pid, 'b');
  const other = join(among, 'postern-demo');
  mkdirSync(other);
  remove();
  expect([left, going, other].map((path) => existsSync(path))).toEqual([false, true, true]);
  expect(told).toEqual([]);
});

describe.runIf(process.platform === 'linux' && process.getuid?.() === 0)('where something is mounted in it', () => {
  it('unmounts it first, although a file there is open', async () => {
    const left = folder(gone, 'a');
    await mount(left);
    const reader = spawn('sleep', ['60'], { cwd: join(left, 'data') });
    await once(reader, 'spawn');
    remove();
    reader.kill('SIGKILL');
    expect(existsSync(left)).toBe(false);
    expect(told).toEqual([]);
  });

  it('tells what it cannot unmount, and goes on', async () => {
    const left = folder(gone, 'a');
    const next = folder(gone, 'b');
    await mount(left);
    remove(() => {});
    expect([left, next].map((path) => existsSync(path))).toEqual([true, false]);
    expect(told).toEqual([expect.stringContaining(`${left}, which can't be removed: `)]);
  });

  it('so does the sweeper at the end of the run itself', async () => {
    const left = folder(gone, 'a');
    await mount(left);
    await execa('/bin/sh', [join(checkout, 'test/sweep.sh'), left, 'postern.none'], { input: '', env: { DOCKER_HOST: '' } });
    expect(existsSync(left)).toBe(false);
  });
});
