import { chmod, mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { placePlugin, readPluginFile } from '#broker/operator/plugin/file.ts';
import type { PlaceOptions, PluginFile } from '#broker/operator/plugin/file.ts';

const SCRIPT = '#!/bin/sh\nexit 1\n';
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

let folder: string;
let directory: string;
let file: string;
let plugin: PluginFile;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'postern-directory-')));
  directory = join(folder, 'plugins');
  await mkdir(directory, { mode: 0o755 });
  file = join(folder, 'postern-auth0');
  await writeFile(file, SCRIPT, { mode: 0o700 });
  plugin = await readPluginFile(file);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const place = (more: Partial<PlaceOptions> = {}) => placePlugin({ plugin, directory, command: 'postern-auth0-v1.0.0', ...more });

async function refused(work: Promise<unknown>): Promise<{ code: string; message: string; remedy: string }> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(PosternError);
  const { code, message, detail } = error as PosternError;
  return { code, message, remedy: detail ?? '' };
}

describe('what an executable is', () => {
  it('its checksum, and the version that its build wrote beside it', async () => {
    expect(plugin).toMatchObject({ sha256: sha256(SCRIPT), version: undefined, platform: 'script' });
    await writeFile(join(folder, 'postern-auth0.json'), JSON.stringify({ version: 'v1.2.3', files: [{ sha256: plugin.sha256 }] }));
    expect((await readPluginFile(file)).version).toBe('v1.2.3');
    // Another build's word says nothing about these bytes.
    await writeFile(join(folder, 'postern-auth0.json'), JSON.stringify({ version: 'v1.2.3', files: [{ sha256: sha256('other') }] }));
    expect((await readPluginFile(file)).version).toBeUndefined();
  });

  it.each([
    ['7f454c4602010100000000000000000002003e00', 'linux-x64'],
    ['7f454c460201010000000000000000000200b700', 'linux-arm64'],
    ['7f454c4602010100000000000000000002000800', 'linux-other'],
    ['cffaedfe0c000001000000000000000000000000', 'darwin-arm64'],
    ['4d5a900000000000000000000000000000000000', undefined],
    ['', undefined],
  ])('%s is of %s', async (head, platform) => {
    await writeFile(file, Buffer.from(head, 'hex'));
    expect((await readPluginFile(file)).platform).toBe(platform);
  });

  it('nothing, or no file', async () => {
    expect(await refused(readPluginFile(join(folder, 'none')))).toMatchObject({
      code: 'not_found',
      remedy: expect.stringContaining('make plugin'),
    });
    expect(await refused(readPluginFile(folder))).toMatchObject({ code: 'invalid_request' });
  });
});

describe("Vault's rules for its plugin directory", () => {
  it('the file is copied once, whole, owned as the directory and executable', async () => {
    expect(await place()).toBe('copied');
    const target = join(directory, 'postern-auth0-v1.0.0');
    expect(await readFile(target, 'utf8')).toBe(SCRIPT);
    const { mode, uid, ino } = await stat(target);
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o755, uid: (await stat(directory)).uid });
    expect(await place()).toBe('unchanged');
    expect((await stat(target)).ino).toBe(ino);
    // A damaged one is replaced.
    await writeFile(target, 'half');
    expect(await place()).toBe('copied');
  });

  it('a directory that a symlink leads to', async () => {
    await symlink(directory, join(folder, 'link'));
    expect(await refused(place({ directory: join(folder, 'link') }))).toMatchObject({
      code: 'misconfigured',
      message: expect.stringContaining('symlink'),
      remedy: expect.stringContaining(`plugin_directory = "${directory}"`),
    });
    await mkdir(join(directory, 'deep'));
    expect(await refused(place({ directory: join(folder, 'link/deep') }))).toMatchObject({ message: expect.stringContaining('symlink') });
  });

  it('a file that is a symlink', async () => {
    await symlink(file, join(directory, 'postern-auth0-v1.0.0'));
    expect(await refused(place())).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('symlink') });
  });

  it('a directory that is not the configured one, or not there', async () => {
    expect(await refused(place({ configured: { directory: '/etc/vault/plugins', fileUid: 0, permissions: 0 } }))).toMatchObject({
      message: `Vault's plugin_directory is /etc/vault/plugins, not ${directory}`,
    });
    expect(await refused(place({ directory: join(folder, 'none') }))).toMatchObject({
      message: expect.stringContaining('ENOENT'),
      remedy: expect.stringContaining('install -d'),
    });
    expect(await refused(place({ directory: file }))).toMatchObject({ message: `${file} is not a directory` });
  });

  it('others may write into the directory, or to the file', async () => {
    await chmod(directory, 0o777);
    expect(await refused(place())).toMatchObject({ code: 'misconfigured', remedy: expect.stringContaining('chmod go-w') });
    await chmod(directory, 0o755);
    await place();
    await chmod(join(directory, 'postern-auth0-v1.0.0'), 0o775);
    expect(await refused(place())).toMatchObject({ remedy: expect.stringContaining('chmod go-w') });
    await chmod(join(directory, 'postern-auth0-v1.0.0'), 0o644);
    expect(await refused(place())).toMatchObject({
      message: expect.stringContaining('not executable'),
      remedy: expect.stringContaining('chmod 0755'),
    });
  });

  it('the wrong owner, or other permissions than Vault wants', async () => {
    await place();
    const uid = (await stat(directory)).uid + 1;
    expect(await refused(place({ configured: { directory, fileUid: uid, permissions: 0 } }))).toMatchObject({
      code: 'misconfigured',
      message: expect.stringContaining(`not by Vault's user (uid ${uid})`),
      remedy: expect.stringContaining(`chown ${uid}`),
    });
    expect(await refused(place({ configured: { directory, fileUid: 0, permissions: 0o500 } }))).toMatchObject({
      remedy: expect.stringContaining('chmod 500'),
    });
  });

  it('an executable of another kind of machine', async () => {
    const foreign = process.arch === 'x64' ? 'b700' : '3e00';
    await writeFile(file, Buffer.from(`7f454c460201010000000000000000000200${foreign}`, 'hex'));
    expect(await refused(place({ plugin: await readPluginFile(file) }))).toMatchObject({
      code: 'misconfigured',
      message: expect.stringContaining('is made for linux-'),
      remedy: expect.stringContaining('make plugin'),
    });
  });

  it.runIf(process.platform === 'linux')('an executable that does not run here', async () => {
    const own = process.arch === 'x64' ? '3e00' : 'b700';
    await writeFile(file, Buffer.from(`7f454c460201010000000000000000000200${own}`, 'hex'));
    expect(await refused(place({ plugin: await readPluginFile(file) }))).toMatchObject({
      code: 'misconfigured',
      message: expect.stringContaining('does not run here'),
    });
  });
});
