import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startChild } from '#dev/child.ts';
import { startReaper } from '#tools/process/reaper.ts';
import type { Reaper } from '#tools/process/reaper.ts';

let folder: string;
let reaper: Reaper;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-child-'));
  reaper = startReaper();
});
afterEach(async () => {
  await reaper.close();
  rmSync(folder, { recursive: true, force: true });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 100 && alive(pid); i += 1) await sleep(50);
  return !alive(pid);
}

describe('a child', () => {
  const start = (script: string, filter?: (line: string) => string | undefined) =>
    startChild({
      name: 'sh',
      command: '/bin/sh',
      args: ['-c', script],
      env: { PATH: '/usr/bin:/bin' },
      logFile: join(folder, 'log'),
      reaper,
      ...(filter ? { filter } : {}),
    });

  test('writes both streams to a log that only we can read, past the filter', async () => {
    const child = await start('echo out; echo err >&2; echo token-abc', (line) => (line.includes('token') ? undefined : line));
    expect(await child.ended).toBe('code 0');
    expect(readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').sort()).toEqual(['err', 'out']);
    expect(statSync(join(folder, 'log')).mode & 0o777).toBe(0o600);
  });

  test('inherits nothing of our environment', async () => {
    process.env['POSTERN_CANARY'] = '1';
    const child = await start('env');
    await child.ended;
    delete process.env['POSTERN_CANARY'];
    expect(readFileSync(join(folder, 'log'), 'utf8')).not.toContain('POSTERN_CANARY');
  });

  test('is stopped with its own children, softly', async () => {
    const child = await start('sleep 60 & echo $!; wait');
    await sleep(200);
    const grandchild = Number(readFileSync(join(folder, 'log'), 'utf8'));
    await child.stop();
    expect(child.running).toBe(false);
    expect(await gone(grandchild)).toBe(true);
    await child.stop(); // again is harmless
  });

  test('is killed when it does not listen', async () => {
    const child = await start("trap '' TERM; while :; do sleep 0.05; done");
    await sleep(100);
    await child.stop(200);
    expect(await child.ended).toBe('signal SIGKILL');
  });

  test('that cannot be started is an error', async () => {
    await expect(
      startChild({ name: 'no', command: '/no/such/program', args: [], env: {}, logFile: join(folder, 'log'), reaper }),
    ).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('when we are killed hard', () => {
  test('the child and the folder go, too', async () => {
    const module = (name: string): string => JSON.stringify(fileURLToPath(new URL(`../../../${name}`, import.meta.url)));
    const work = join(folder, 'work with spaces');
    const parent = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `import { mkdirSync } from 'node:fs';
       const { startReaper } = await import(${module('tools/process/reaper.ts')});
       const { startChild } = await import(${module('dev/child.ts')});
       const reaper = startReaper();
       mkdirSync(${JSON.stringify(work)});
       reaper.watchFolder(${JSON.stringify(work)});
       const child = await startChild({ name: 'sleep', command: '/bin/sh', args: ['-c', 'sleep 60'], env: { PATH: '/usr/bin:/bin' }, logFile: ${JSON.stringify(join(folder, 'l'))}, reaper });
       console.log(child.pid);
       setInterval(() => {}, 1000);`,
    ]);
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(String(line));
    expect(pid).toBeGreaterThan(0);
    parent.kill('SIGKILL');
    expect(await gone(pid)).toBe(true);
    for (let i = 0; i < 60 && existsSync(work); i += 1) await sleep(50);
    expect(existsSync(work)).toBe(false);
    expect(existsSync(folder)).toBe(true);
  });
});
