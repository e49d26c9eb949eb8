import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildPlugin } from '#tools/plugin/build.ts';
import type { PluginBuild } from '#tools/plugin/build.ts';
import { shellHead } from '#tools/plugin/bundle.ts';

/** Says how it was started; it imports a package, so that there is something to bundle. */
const ENTRY = `import { LRUCache } from '${fileURLToPath(import.meta.resolve('lru-cache'))}';
declare const POSTERN_PLUGIN_VERSION: string;
if (import.meta.main) console.log(JSON.stringify({
  version: POSTERN_PLUGIN_VERSION, argv: process.argv.slice(2), execArgv: process.execArgv, map: new LRUCache({ max: 1 }).max,
  env: Object.keys(process.env).filter((name) => /^(NODE|GRPC)_/.test(name)),
}));`;

const HOSTILE = {
  NODE_OPTIONS: '--no-such-flag',
  NODE_DEBUG: 'http,tls',
  NODE_TLS_REJECT_UNAUTHORIZED: '0',
  GRPC_TRACE: 'all',
  GRPC_VERBOSITY: 'DEBUG',
};

let folder: string;
let entry: string;
let built: PluginBuild;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-bundle-'));
  entry = join(folder, 'entry.ts');
  await writeFile(entry, ENTRY);
  built = await build('one');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const build = (into: string, more: { node?: string } = {}) =>
  buildPlugin({ folder: join(folder, into), entry, version: 'v1.2.3', executable: false, report: () => {}, ...more });
const path = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` };

it('a script that is executed by itself, with its limits and without what the environment of Vault would do to it', async () => {
  const { stdout, stderr } = await execa(built.files[0]!.file, ['a', '-b'], { env: { ...path, ...HOSTILE }, extendEnv: false });
  expect(JSON.parse(stdout)).toEqual({
    version: 'v1.2.3',
    argv: ['a', '-b'],
    execArgv: ['--max-semi-space-size=2', '--max-old-space-size=68', '--disable-sigusr1'],
    map: 1,
    env: [],
  });
  expect(stderr).toBe('');
});

it('what is written beside it is true', async () => {
  const manifest = JSON.parse(await readFile(join(folder, 'one/postern-auth0.json'), 'utf8'));
  expect(manifest).toMatchObject({
    name: 'postern-auth0',
    version: 'v1.2.3',
    packages: [{ name: 'lru-cache', version: expect.stringMatching(/^\d/), license: expect.any(String) }],
    files: [{ kind: 'script', file: 'postern-auth0.cjs', bytes: built.files[0]!.bytes, sha256: built.files[0]!.sha256 }],
  });
  expect(await readFile(join(folder, 'one/postern-auth0.notice.txt'), 'utf8')).toMatch(
    /lru-cache \d[\s\S]*Permission|lru-cache \d[\s\S]*Blue Oak/i,
  );
  const { stdout } = await execa('sha256sum', [built.files[0]!.file]).catch(() => execa('shasum', ['-a', '256', built.files[0]!.file]));
  expect(stdout.split(' ')[0]).toBe(built.files[0]!.sha256);
});

it('the same sources give the same bytes', async () => {
  expect((await build('two')).files[0]!.sha256).toBe(built.files[0]!.sha256);
});

it('a Node that is too old is told', async () => {
  // The version is the only thing that an old Node would need to have.
  const old = join(folder, 'old-node');
  await writeFile(old, `#!/bin/sh\nshift 2\nexec '${process.execPath}' -r '${join(folder, 'old.cjs')}' "$@"\n`, { mode: 0o755 });
  await writeFile(join(folder, 'old.cjs'), "Object.defineProperty(process.versions, 'node', { value: '20.1.0' });");
  const script = (await build('three', { node: old })).files[0]!.file;
  const { exitCode, stdout, stderr } = await execa(script, { env: path, extendEnv: false, reject: false });
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toContain('postern-auth0 needs Node 24 or newer');
});

it.each(['v1', '1.2.3', 'v1.2.3 ', 'latest'])('%j is not a version that Vault takes', async (version) => {
  await expect(buildPlugin({ folder, entry, version, executable: false, report: () => {} })).rejects.toThrow(
    'is not a version of the form',
  );
});

it.each(['node; rm -rf /', '$(node)', 'a b', ''])('%j is not a path of Node', (node) => {
  expect(() => shellHead(node)).toThrow('the path of Node');
});
