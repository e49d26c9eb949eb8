import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runGroup } from '#tools/process/group.ts';
import { checkout } from '#tools/part/version.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-group-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const env = { PATH: process.env['PATH'] ?? '' };

it('runs a program with its arguments as they are, in a folder of its own, without input', async () => {
  const script = 'printf "%s|" "$@" "$TMPDIR"; cat; exit 3';
  const result = await runGroup('/bin/sh', ['-c', script, 'name', 'a b', '', '$HOME "\'', '-n'], { env }, { temporary: folder });
  const [one, two, three, four, temporary] = result.stdout.split('|');
  expect([one, two, three, four, result.exitCode, result.failed]).toEqual(['a b', '', '$HOME "\'', '-n', 3, true]);
  expect(temporary).toContain(folder);
  expect(existsSync(temporary!)).toBe(false);
});

it('is ended when it is told to, gently first', async () => {
  const over = new AbortController();
  const running = runGroup(
    '/bin/sh',
    ['-c', `trap 'echo bye; exit 0' TERM; : > '${folder}/up'; while :; do sleep 0.05; done`],
    { env },
    { signal: over.signal },
  );
  await expect.poll(() => existsSync(join(folder, 'up'))).toBe(true);
  over.abort();
  expect((await running).stdout).toBe('bye');
});

it('says of a program that is not there that it failed', async () => {
  const result = await runGroup(join(folder, 'nowhere'), [], { env });
  expect([result.failed, result.exitCode]).toEqual([true, 127]);
  expect(result.stderr).toContain('nowhere');
});

it('leaves nothing that runs, at whatever moment its caller is killed', async () => {
  const script = `echo $$ >> '${folder}/pids'; while [ -e '${folder}' ]; do sleep 0.05; done`;
  const arguments_ = `['-c', ${JSON.stringify(script)}], { env: ${JSON.stringify(env)} }`;
  const program = `import { runGroup } from '#tools/process/group.ts'; console.log('up'); await runGroup('/bin/sh', ${arguments_});`;
  for (let ms = 0; ms < 24; ms += 2) {
    const caller = execa(process.execPath, ['--input-type=module', '-e', program], { cwd: checkout, reject: false });
    await new Promise((resolve) => caller.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, ms));
    caller.kill('SIGKILL');
    await caller;
  }
  const pids = existsSync(join(folder, 'pids')) ? readFileSync(join(folder, 'pids'), 'utf8').trim().split('\n').map(Number) : [];
  await expect.poll(() => pids.filter(isRunning), { timeout: 10_000 }).toEqual([]);
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
