import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';
import { startLeashed } from '#tools/process/leash.ts';
import { isRunning } from '#tools/process/running.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-leash-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = () => ({ env: { PATH: process.env['PATH'] ?? '' }, log: join(folder, 'log'), after: `: > ${folder}/cleaned` });
const until = async (true_: () => boolean) => {
  for (let turn = 0; turn < 400 && !true_(); turn++) await sleep(20);
  expect(true_()).toBe(true);
};
/** The program has come so far that it would see a signal. */
const up = () => until(() => existsSync(join(folder, 'log')) && readFileSync(join(folder, 'log'), 'utf8').includes('up'));

describe('a program on a leash', () => {
  it('logs, is stopped by SIGTERM, and its clean-up runs', async () => {
    const script = 'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done';
    const running = await startLeashed('/bin/sh', ['-c', script], options());
    await up();
    expect(isRunning(running.pid)).toBe(true);
    await running.stop();
    await running.stop();
    expect(await running.exited).toBe(7);
    expect(isRunning(running.pid)).toBe(false);
    expect(readFileSync(join(folder, 'log'), 'utf8')).toContain('bye');
    expect(existsSync(join(folder, 'cleaned'))).toBe(true);
  });

  it('is killed when it will not go', async () => {
    const running = await startLeashed('/bin/sh', ['-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done'], {
      ...options(),
      grace: 1,
    });
    await up();
    const start = Date.now();
    await running.stop();
    expect(Date.now() - start).toBeGreaterThan(900);
    expect(isRunning(running.pid)).toBe(false);
    expect(existsSync(join(folder, 'cleaned'))).toBe(true);
  });

  it('tells that it ended by itself', async () => {
    const running = await startLeashed('/bin/sh', ['-c', 'exit 3'], options());
    expect(await running.exited).toBe(3);
    await running.stop();
  });

  it('ends with an owner that is killed', async () => {
    const program = `import { startLeashed } from '#tools/process/leash.ts';
const running = await startLeashed('/bin/sleep', ['300'], ${JSON.stringify(options())});
console.log(running.pid);
setInterval(() => {}, 1000);`;
    const owner = execa(process.execPath, ['--input-type=module', '-e', program], { cwd: checkout, reject: false });
    let pid = 0;
    for await (const line of owner) {
      pid = Number(line);
      owner.kill('SIGKILL');
    }
    await owner;
    expect(pid).toBeGreaterThan(0);
    await until(() => !isRunning(pid) && existsSync(join(folder, 'cleaned')));
  });

  it('does not keep an owner alive that has nothing left to do', async () => {
    const program = `import { startLeashed } from '#tools/process/leash.ts';
await startLeashed('/bin/sleep', ['300'], ${JSON.stringify(options())});`;
    const start = Date.now();
    await execa(process.execPath, ['--input-type=module', '-e', program], { cwd: checkout, timeout: 10_000 });
    expect(Date.now() - start).toBeLessThan(9_000);
    await until(() => existsSync(join(folder, 'cleaned')));
  });
});
