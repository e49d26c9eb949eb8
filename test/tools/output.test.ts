import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

let scratch: string;
beforeAll(() => void (scratch = mkdtempSync(join(tmpdir(), 'postern-output-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BUILDS = {
  dist: ['tools/dist/main.ts'],
  plugin: ['tools/plugin/main.ts'],
  image: ['tools/image/main.ts', '--context-only'],
  release: ['tools/release/main.ts', '--snapshot'],
};

const build = (name: keyof typeof BUILDS, folder: string, env: Record<string, string> = {}) =>
  execa(process.execPath, [...BUILDS[name], '--folder', folder], { cwd: checkout, reject: false, timeout: 20_000, env });

/** Without the lines of progress. */
const said = (stderr: string): string[] => stderr.split('\n').filter((line) => !line.endsWith(' ...'));

describe.each(Object.keys(BUILDS) as (keyof typeof BUILDS)[])('make %s', (name) => {
  it('says in one line that it cannot write where its files go, before it builds anything', async () => {
    const file = join(scratch, `${name}-file`);
    writeFileSync(file, '');
    const cases = [
      ['/proc/nowhere', 'there is no such folder'],
      ...(name === 'dist' ? [[file, 'a file has this name'] as const, [join(file, 'dist'), 'a part of this path is a file'] as const] : []),
    ] as const;
    for (const [folder, why] of cases) {
      const { exitCode, stderr, stdout } = await build(name, folder);
      expect({ exitCode, stdout, said: said(stderr) }).toEqual({
        exitCode: 6,
        stdout: '',
        said: [
          `error: The folder for what is built can't be written (${folder}): ${why}. ` +
            'Make it writable for you, or name another: ARGS="--folder PATH".',
        ],
      });
    }
  });

  it('looks at the temporary folder, too', async () => {
    const { exitCode, stderr } = await build(name, join(scratch, 'unused'), { TMPDIR: join(scratch, 'nowhere') });
    expect(exitCode).toBe(6);
    expect(said(stderr).join('\n')).toMatch(
      /^error: The temporary folder can't be written \(.*\): there is no such folder\. Let TMPDIR name .*\.$/,
    );
  });
});

describe('what a build empties before it fills it', () => {
  it.each([
    ['release', ''],
    ['image', 'image'],
  ] as const)("make %s leaves somebody else's files alone", async (name, below) => {
    const home = join(scratch, `home-${name}`);
    mkdirSync(join(home, below, 'thesis'), { recursive: true });
    writeFileSync(join(home, below, 'thesis/chapter.txt'), 'years of work');
    const { exitCode, stderr } = await build(name, home);
    expect(exitCode).toBe(6);
    expect(said(stderr)).toEqual([
      `error: ${join(home, below)} would be emptied, and holds something that no build has made (thesis): name another by ARGS="--folder PATH"`,
    ]);
    expect(readdirSync(home, { recursive: true })).toContain(join(below, 'thesis/chapter.txt'));
  });
});
