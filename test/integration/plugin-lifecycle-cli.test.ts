import { chmod, chown, copyFile, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { builtPlugin, startPluginVault } from '#test/fixture/plugin.ts';
import type { BuiltPlugin, PluginVault } from '#test/fixture/plugin.ts';
import { productOf } from '#tools/part/server.ts';
import { postern } from './cli-run.ts';

/*
 * `postern plugin install` and `upgrade` on a real Vault with the executable that `make plugin` makes. The tests follow one
 * another: nothing is there, installed, upgraded, gone back.
 */

/** What docs/plugin.md gives a platform engineer. */
const POLICY = `
path "sys/config/state/sanitized" { capabilities = ["read"] }
path "sys/mounts" { capabilities = ["read"] }
path "sys/plugins/catalog/secret/postern-auth0" { capabilities = ["read", "create", "update", "sudo"] }
path "sys/plugins/pins/secret/postern-auth0" { capabilities = ["read"] }
path "sys/mounts/auth0" { capabilities = ["create", "update"] }
path "sys/mounts/auth0/tune" { capabilities = ["update"] }
path "sys/mounts/postern-auth0-trial/+" { capabilities = ["create", "update", "delete", "sudo"] }
path "postern-auth0-trial/+/info" { capabilities = ["read"] }
path "sys/plugins/reload/backend" { capabilities = ["update", "sudo"] }
path "auth0/info" { capabilities = ["read"] }
`;

let vault: PluginVault;
let first: BuiltPlugin;
let second: BuiltPlugin;
let token: string;

beforeAll(async () => {
  [vault, first, second] = await Promise.all([
    startPluginVault({ env: { VAULT_ENABLE_FILE_PERMISSIONS_CHECK: 'true' } }),
    builtPlugin('v0.1.0'),
    builtPlugin('v0.2.0'),
  ]);
  await vault.root('POST', 'sys/policies/acl/platform', { policy: POLICY });
  token = (await vault.root('POST', 'auth/token/create', { policies: ['platform'], ttl: '1h' }))['auth'].client_token;
  registerSecret('Vault token', token);
}, 240_000);
afterAll(() => vault?.stop());

const run = (args: readonly string[], as = token) =>
  postern(['plugin', ...args, '--json'], { env: { VAULT_ADDR: vault.address, VAULT_TOKEN: as } });
const here = () => ['--plugin-directory', vault.pluginDirectory];

async function refused(args: readonly string[], as?: string): Promise<Record<string, any>> {
  const { code, stdout, stderr } = await run(args, as);
  expect(stdout).toBe('');
  return { code, ...(JSON.parse(stderr) as object) };
}

const mount = async () => (await vault.root('GET', 'sys/mounts'))['data']['auth0/'];

describe('before anything is there, each fault is told with its remedy', () => {
  it('nothing to install', async () => {
    expect(await refused(['install', '--executable', '/nowhere/postern-auth0'])).toMatchObject({
      code: 4,
      error: 'not_found',
      remedy: expect.stringContaining('make plugin'),
    });
  });

  it('an executable whose version nobody knows', async () => {
    const bare = join(vault.folder, 'bare');
    await copyFile(first.script.file, bare);
    expect(await refused(['install', '--executable', bare])).toMatchObject({
      code: 2,
      remedy: expect.stringContaining('--plugin-version'),
    });
    expect(await refused(['install', '--executable', bare, '--plugin-version', '1.0'])).toMatchObject({
      code: 2,
      message: expect.stringContaining('v1.2.3'),
    });
    expect(await refused(['install', '--executable', bare, '--plugin-version', 'v1.0.0', '--command', '../out'])).toMatchObject({
      code: 2,
      message: expect.stringContaining('is not a file name'),
    });
  });

  it('a plugin directory that a symlink leads to', async () => {
    const link = join(vault.folder, 'link');
    await symlink(vault.pluginDirectory, link);
    // As the token sees it, Vault's is another; without that right, the symlink itself is seen.
    expect(await refused(['install', '--executable', first.executable.file, '--plugin-directory', link])).toMatchObject({
      code: 6,
      message: expect.stringContaining("Vault's plugin_directory is"),
    });
  });

  it('the file is not there: Vault is asked, and its answer is explained', async () => {
    expect(await refused(['install', '--executable', first.executable.file])).toMatchObject({
      code: 6,
      message: expect.stringContaining('not in the plugin directory'),
      remedy: expect.stringContaining('--plugin-directory'),
    });
  });

  it('the file is a symlink', async () => {
    const target = join(vault.pluginDirectory, 'postern-auth0-v0.1.0');
    await symlink(first.executable.file, target);
    expect(await refused(['install', '--executable', first.executable.file])).toMatchObject({
      code: 6,
      message: expect.stringContaining('symlink'),
    });
    expect(await refused(['install', '--executable', first.executable.file, ...here()])).toMatchObject({
      code: 6,
      message: expect.stringContaining('symlink'),
      remedy: expect.stringContaining('rm '),
    });
    await rename(target, join(vault.folder, 'link-of-before'));
  });

  it.runIf(process.getuid?.() === 0)('the file has a wrong owner', async () => {
    const target = join(vault.pluginDirectory, 'postern-auth0-v0.1.0');
    await copyFile(first.executable.file, target);
    await chown(target, 12_345, 12_345);
    expect(await refused(['install', '--executable', first.executable.file])).toMatchObject({
      code: 6,
      message: expect.stringContaining("not owned by Vault's user"),
      remedy: expect.stringContaining('chown'),
    });
    expect(await refused(['install', '--executable', first.executable.file, ...here()])).toMatchObject({
      code: 6,
      message: expect.stringContaining('uid 12345'),
      remedy: expect.stringContaining(`chown 0 ${target}`),
    });
    await chown(target, 0, 0);
    await chmod(target, 0o777);
    expect(await refused(['install', '--executable', first.executable.file])).toMatchObject({
      code: 6,
      message: expect.stringContaining('Others than its owner may write'),
    });
    await rename(target, join(vault.folder, 'owned-otherwise'));
  });

  it('a wrong sha256: the file in the directory is another one', async () => {
    await writeFile(join(vault.pluginDirectory, 'postern-auth0-v0.1.0'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    expect(await refused(['install', '--executable', first.executable.file])).toMatchObject({
      code: 6,
      message: expect.stringContaining('their sha256 differ'),
      remedy: expect.stringContaining('--plugin-directory'),
    });
    expect(await mount()).toBeUndefined();
  });

  it('a token without the rights', async () => {
    const poor = (await vault.root('POST', 'auth/token/create', { policies: ['default'], ttl: '10m' }))['auth'].client_token;
    registerSecret('Vault token', poor);
    expect(await refused(['install', '--executable', first.executable.file], poor)).toMatchObject({
      code: 3,
      error: 'access_denied',
      remedy: expect.stringContaining('docs/plugin.md'),
    });
  });

  it('an upgrade of what is not mounted', async () => {
    expect(await refused(['upgrade', '--executable', first.executable.file])).toMatchObject({
      code: 4,
      remedy: expect.stringContaining('plugin install'),
    });
  });
});

describe('install', () => {
  it('puts the file there, registers it and mounts it, pinned and seal-wrapped', async () => {
    const { code, json, stderr } = await run(['install', '--executable', first.executable.file, ...here()]);
    expect(stderr).toContain('vault path-help auth0');
    expect(code).toBe(0);
    // The catalogue has the right checksum already, from the attempt before: an interrupted installation is completed.
    expect(json).toEqual({
      version: 'v0.1.0',
      sha256: first.executable.sha256,
      command: 'postern-auth0-v0.1.0',
      mount: 'auth0',
      executable: 'copied',
      registered: 'unchanged',
      mounted: 'mounted',
      previous_version: null,
    });
    expect(await mount()).toMatchObject({
      type: 'postern-auth0',
      plugin_version: 'v0.1.0',
      running_plugin_version: 'v0.1.0',
      running_sha256: first.executable.sha256,
      seal_wrap: true,
    });
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ version: 'v0.1.0' });
  });

  it('again: nothing changes', async () => {
    const before = await mount();
    const { json } = await run(['install', '--executable', first.executable.file, ...here()]);
    expect(json).toMatchObject({ executable: 'unchanged', registered: 'unchanged', mounted: 'unchanged' });
    expect(await mount()).toEqual(before);
  });

  it('another version over it is an upgrade; another engine at the path is left alone', async () => {
    expect(await refused(['install', '--executable', second.executable.file])).toMatchObject({
      code: 4,
      error: 'conflict',
      remedy: expect.stringContaining('plugin upgrade'),
    });
    expect(await refused(['install', '--executable', first.executable.file, '--plugin-mount', 'cubbyhole'])).toMatchObject({
      code: 4,
      error: 'conflict',
      message: 'cubbyhole/ is a mount of type cubbyhole',
    });
  });

  it('other bytes under the version that runs', async () => {
    const changed = join(vault.folder, 'changed');
    await copyFile(first.script.file, changed);
    await writeFile(changed, '\n// changed\n', { flag: 'a' });
    expect(await refused(['upgrade', '--executable', changed, '--plugin-version', 'v0.1.0', '--replace'])).toMatchObject({
      code: 4,
      error: 'conflict',
      message: expect.stringContaining('auth0/ runs it'),
    });
  });
});

describe('upgrade', () => {
  it('a version that does not run is found out before the mount is touched', async () => {
    const broken = join(vault.folder, 'broken');
    await writeFile(broken, '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const before = await mount();
    expect(await refused(['upgrade', '--executable', broken, '--plugin-version', 'v0.1.9', ...here()])).toMatchObject({
      code: 6,
      message: 'Vault cannot start the plugin',
    });
    expect(await mount()).toEqual(before);
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ version: 'v0.1.0' });
    expect(Object.keys((await vault.root('GET', 'sys/mounts'))['data']).filter((path) => path.includes('trial'))).toEqual([]);
  });

  it('an executable that says another version of itself', async () => {
    expect(await refused(['upgrade', '--executable', second.executable.file, '--plugin-version', 'v0.3.0', ...here()])).toMatchObject({
      code: 6,
      message: expect.stringContaining('another version of itself'),
    });
  });

  it('in place', async () => {
    const before = await mount();
    const { code, json } = await run(['upgrade', '--executable', second.executable.file, ...here()]);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      version: 'v0.2.0',
      executable: 'copied',
      registered: 'registered',
      mounted: 'upgraded',
      previous_version: 'v0.1.0',
    });
    const after = await mount();
    // The same mount, with the same storage: it was never taken away.
    expect(after).toMatchObject({
      uuid: before['uuid'],
      accessor: before['accessor'],
      plugin_version: 'v0.2.0',
      running_plugin_version: 'v0.2.0',
      running_sha256: second.executable.sha256,
    });
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ version: 'v0.2.0' });
    expect((await run(['upgrade', '--executable', second.executable.file, ...here()])).json).toMatchObject({
      executable: 'unchanged',
      registered: 'unchanged',
      mounted: 'unchanged',
    });
  });

  it('interrupted between the pin and the reload, it is completed', async () => {
    await vault.root('POST', 'sys/mounts/auth0/tune', { plugin_version: 'v0.1.0' });
    expect(await mount()).toMatchObject({ plugin_version: 'v0.1.0', running_plugin_version: 'v0.2.0' });
    const { json } = await run(['upgrade', '--executable', first.executable.file, ...here()]);
    expect(json).toMatchObject({ mounted: 'upgraded', previous_version: 'v0.2.0' });
    expect(await mount()).toMatchObject({
      plugin_version: 'v0.1.0',
      running_plugin_version: 'v0.1.0',
      running_sha256: first.executable.sha256,
    });
  });

  it('to a version that is registered, forth and back', async () => {
    expect((await run(['upgrade', '--to', 'v0.2.0'])).json).toMatchObject({ mounted: 'upgraded', command: 'postern-auth0-v0.2.0' });
    expect((await run(['upgrade', '--to', 'v0.1.0'])).json).toMatchObject({ mounted: 'upgraded', previous_version: 'v0.2.0' });
    for (const version of ['0.1.0', 'v1', 'latest', ''])
      expect(await refused(['upgrade', '--to', version])).toMatchObject({
        code: 2,
        message: `"${version}" is not a version of the form v1.2.3`,
      });
    expect(await refused(['upgrade', '--to', 'v7.0.0'])).toMatchObject({ code: 4, message: 'v7.0.0 is not registered' });
    expect(await refused(['upgrade', '--to', 'v0.2.0', ...here()])).toMatchObject({ code: 2 });
  });

  it("Vault's own pin overrules a mount's", async () => {
    if (productOf() === 'openbao') {
      // It has none, and the upgrade above went well without.
      expect((await vault.call('POST', 'sys/plugins/pins/secret/postern-auth0', { version: 'v0.1.0' })).status).toBe(404);
      return;
    }
    await vault.root('POST', 'sys/plugins/pins/secret/postern-auth0', { version: 'v0.1.0' });
    expect(await refused(['upgrade', '--to', 'v0.2.0'])).toMatchObject({
      code: 4,
      error: 'conflict',
      message: expect.stringContaining('pins postern-auth0 to v0.1.0'),
    });
    await vault.root('DELETE', 'sys/plugins/pins/secret/postern-auth0');
  });

  it('by the script, on a host that has Node', async () => {
    const script = await builtPlugin('v0.2.0');
    const { json } = await run(['upgrade', '--executable', script.script.file, '--replace', ...here()]);
    expect(json).toMatchObject({ executable: 'copied', registered: 'replaced', mounted: 'upgraded' });
    expect(await mount()).toMatchObject({ running_sha256: script.script.sha256 });
    expect((await stat(join(vault.pluginDirectory, 'postern-auth0-v0.2.0'))).size).toBe(script.script.bytes);
  });

  it('a version that ran on trial and not on the mount: the mount goes back to the one before', async () => {
    // It starts twice, for the registration and for the trial, and then no more.
    const [starts, flaky] = [join(vault.folder, 'starts'), join(vault.folder, 'flaky')];
    await writeFile(
      flaky,
      `#!/bin/sh\necho >> '${starts}'\n[ "$(wc -l < '${starts}')" -le 2 ] || exit 1\nexec '${first.executable.file}'\n`,
      { mode: 0o755 },
    );
    const before = await mount();
    expect(await refused(['upgrade', '--executable', flaky, '--plugin-version', 'v0.1.0', '--replace', ...here()])).toMatchObject({
      code: 6,
      message: 'The upgrade failed (Vault cannot start the plugin); auth0/ runs v0.2.0 as before',
    });
    expect(await mount()).toEqual(before);
    expect((await vault.root('GET', 'auth0/info'))['data']).toMatchObject({ version: 'v0.2.0' });
  });

  it('nothing half is left in the plugin directory', async () => {
    expect((await readdir(vault.pluginDirectory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('doctor', () => {
  const look = async (as: string): Promise<Record<string, any> | undefined> => {
    const { json } = await postern(['doctor', '--json'], { env: { VAULT_ADDR: vault.address, VAULT_TOKEN: as } });
    return json['checks'].find(({ name }: { name: string }) => name === 'plugin: auth0/');
  };

  it('a mount that runs what is pinned and registered; one that was pinned and not reloaded', async () => {
    expect(await look(vault.rootToken)).toMatchObject({ status: 'ok', seen: 'v0.2.0, as pinned and registered' });
    await vault.root('POST', 'sys/mounts/auth0/tune', { plugin_version: 'v0.1.0' });
    expect(await look(vault.rootToken)).toMatchObject({
      status: 'failed',
      seen: 'is pinned to v0.1.0 and runs v0.2.0',
      remedy: expect.stringContaining('postern plugin upgrade --to v0.1.0'),
    });
    await vault.root('POST', 'sys/mounts/auth0/tune', { plugin_version: 'v0.2.0' });
  });

  it('other bytes registered under the version that runs; a token that may not see the catalogue', async () => {
    await vault.register({ command: 'postern-auth0-v0.2.0', sha256: '0'.repeat(64), version: 'v0.2.0' });
    expect(await look(vault.rootToken)).toMatchObject({ status: 'failed', seen: 'runs another executable than is registered as v0.2.0' });
    await vault.root('POST', 'sys/policies/acl/looker', { policy: 'path "sys/mounts" { capabilities = ["read"] }' });
    const { auth } = await vault.root('POST', 'auth/token/create', { policies: ['looker'], ttl: '10m' });
    registerSecret('Vault token', auth.client_token);
    expect(await look(auth.client_token)).toMatchObject({ status: 'ok', seen: expect.stringContaining('not compared with the catalogue') });
  });
});

describe('a Vault without a plugin directory', () => {
  it('is told', async () => {
    await using bare = await startPluginVault({ pluginDirectory: false });
    const { code, stderr } = await postern(['plugin', 'install', '--executable', first.executable.file, '--json'], {
      env: { VAULT_ADDR: bare.address, VAULT_TOKEN: bare.rootToken },
    });
    expect({ code, ...(JSON.parse(stderr) as object) }).toMatchObject({
      code: 6,
      message: 'Vault has no plugin directory, so it runs no plugin',
      remedy: expect.stringContaining('plugin_directory'),
    });
  });
});
