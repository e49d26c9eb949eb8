import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schema } from '#broker/config-schema.ts';
import { PosternError } from '#broker/error.ts';
import { checkout } from '#tools/part/version.ts';

const UNITS = ['postern.service', 'postern-agent.service'] as const;

let folder: string;
let analyze: boolean;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-systemd-'));
  const { stdout, failed } = await execa('systemd-analyze', ['--version'], { reject: false });
  // `security --offline` came with 250.
  analyze = !failed && Number(/systemd (\d+)/.exec(stdout)?.[1] ?? 0) >= 250;
  for (const unit of UNITS) {
    // The programs of a machine that has them: `verify` looks for them.
    const text = readFileSync(join(checkout, 'deploy/systemd', unit), 'utf8').replaceAll(/^ExecStart=\S+/gm, 'ExecStart=/bin/true');
    writeFileSync(join(folder, unit), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the broker is not started again where only a person can mend what ended it', () => {
  const text = readFileSync(join(checkout, 'deploy/systemd/postern.service'), 'utf8');
  const prevented = /^RestartPreventExitStatus=(.*)$/m.exec(text)?.[1]?.split(' ').map(Number);
  expect(prevented).toEqual([new PosternError('invalid_request', '').exitCode, new PosternError('misconfigured', '').exitCode]);
});

test("the Agent's unit has its configuration, and its user and group are made", async ({ skip }) => {
  const text = readFileSync(join(checkout, 'deploy/systemd/postern-agent.service'), 'utf8');
  expect(text).toContain('-config=/etc/postern/agent.hcl');
  expect(readFileSync(join(checkout, 'deploy/systemd/agent.hcl'), 'utf8')).toContain('path = "/run/postern/token"');
  const user = /^User=(.*)$/m.exec(text)?.[1];
  const group = /^Group=(.*)$/m.exec(text)?.[1];
  const root = join(folder, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  const made = await execa('systemd-sysusers', [`--root=${root}`, '--', join(checkout, 'deploy/systemd/postern.sysusers')], {
    reject: false,
    all: true,
  });
  if (made.code === 'ENOENT' || process.getuid?.() !== 0) skip('systemd-sysusers makes users for root only, and is not everywhere');
  expect(made.exitCode, made.all).toBe(0);
  const gid = new RegExp(`^${group}:[^:]*:(\\d+):`, 'm').exec(readFileSync(join(root, 'etc/group'), 'utf8'))?.[1];
  expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(new RegExp(`^${user}:[^:]*:\\d+:${gid}:`, 'm'));
});

describe.each(UNITS)('%s', (unit) => {
  test('is one that systemd understands', async ({ skip }) => {
    if (!analyze) skip('systemd 250 or newer is not on this machine');
    const { stderr } = await execa('systemd-analyze', ['verify', '--man=no', join(folder, unit)], { reject: false });
    expect(stderr.split('\n').filter((line) => line.includes(unit))).toEqual([]);
  });

  test('leaves little to whoever breaks in: an exposure of at most 2.0', async ({ skip }) => {
    if (!analyze) skip('systemd 250 or newer is not on this machine');
    const { stdout } = await execa('systemd-analyze', ['security', '--offline=true', '--no-pager', join(folder, unit)], { reject: false });
    const level = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
    expect(level, stdout.slice(-300)).toBeLessThanOrEqual(2);
  });

  test('sets what the broker knows, and is given time to stop', () => {
    const text = readFileSync(join(checkout, 'deploy/systemd', unit), 'utf8');
    const names = [...text.matchAll(/^Environment=(\w+)=/gm)].map(([, name = '']) => name);
    expect(names.filter((name) => !(name in schema.shape))).toEqual([]);
    expect(text).toContain('ExecReload=/bin/kill -HUP $MAINPID');
    // There is no page of the manual.
    expect(text).not.toContain('man:');
    const stop = /^TimeoutStopSec=(\d+)s/m.exec(text)?.[1];
    if (unit === 'postern.service') expect(Number(stop)).toBeGreaterThan(5 + 10);
  });
});
