import { randomBytes } from 'node:crypto';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { call } from './call.ts';
import { register } from './catalogue.ts';
import { described } from './install.ts';
import type { InstallOptions, PluginResult } from './install.ts';
import { findMount, listPluginMounts, mountPlugin, PLUGIN } from './mounts.ts';
import { awaitRunning, isRunning, verify } from './running.ts';

/** Where a new version is tried: below one path, so that a policy can name it. */
const TRIAL = `${PLUGIN}-trial/`;

/**
 * Brings a mount to another version, without unmounting it: its storage is kept, requests wait while it is reloaded. The
 * new version is first started on a mount of its own; where the mount itself can't be brought to it, it goes back to the old one.
 * @throws {PosternError} not_found where it is not mounted
 */
export async function upgradePlugin(access: VaultAccess, options: InstallOptions): Promise<PluginResult> {
  const { mount, version, sha256, onStep } = options;
  const before = await findMount(access, mount);
  if (before === undefined)
    throw new PosternError('not_found', `The plugin is not mounted at ${mount}/`, {
      detail: 'Mount it: postern plugin install. Is it mounted elsewhere? Then name that with --plugin-mount.',
    });
  const registered = await register(access, options);
  const result = { ...described(options), registered, previous_version: before.running.version };
  if (before.version === version && isRunning(before, options)) {
    await verify(access, options);
    return { ...result, mounted: 'unchanged' };
  }
  onStep?.(`trying ${version} on a mount of its own`);
  await tryOut(access, options);
  onStep?.(`reloading ${mount}/ with ${version}`);
  try {
    await tune(access, mount, version);
    await reload(access, mount);
    await verify(access, { mount, version, sha256 });
  } catch (error) {
    if (before.version !== '' && before.version !== version) await goBack(access, mount, before.version, error);
    throw error;
  }
  return { ...result, mounted: 'upgraded' };
}

/**
 * Vault registers what does not run, and takes a mount's old process away before it starts the new one. So the new
 * version shows on an empty mount that it starts, and with which checksum, before a mount that serves depends on it.
 */
async function tryOut(access: VaultAccess, { version, sha256 }: InstallOptions): Promise<void> {
  const path = `${TRIAL}${randomBytes(4).toString('hex')}`;
  const unmount = () => call(access, `unmount ${path}/`, ({ client, as }) => client.delete(`sys/mounts/${path}`, as));
  // One that an interrupted upgrade has left behind.
  for (const left of await listPluginMounts(access)) {
    if (left.path.startsWith(TRIAL))
      await call(access, `unmount ${left.path}/`, ({ client, as }) => client.delete(`sys/mounts/${left.path}`, as));
  }
  await mountPlugin(access, path, version, 'Postern: whether a new version runs; goes away by itself');
  try {
    await verify(access, { mount: path, version, sha256 });
  } finally {
    await unmount();
  }
}

function tune(access: VaultAccess, mount: string, version: string): Promise<unknown> {
  return call(access, `pin ${mount}/ to ${version}`, ({ client, as }) =>
    client.write(`sys/mounts/${mount}/tune`, { plugin_version: version }, as),
  );
}

/** This mount alone: another mount of the plugin has its own version and its own time. */
function reload(access: VaultAccess, mount: string): Promise<unknown> {
  return call(access, `reload ${mount}/`, ({ client, as }) => client.write('sys/plugins/reload/backend', { mounts: [`${mount}/`] }, as));
}

async function goBack(access: VaultAccess, mount: string, version: string, cause: unknown): Promise<never> {
  const why = cause instanceof PosternError ? cause.message : 'something unforeseen happened';
  try {
    await tune(access, mount, version);
    await reload(access, mount);
    await awaitRunning(access, mount, ({ running }) => running.version === version);
  } catch {
    throw new PosternError('misconfigured', `The upgrade failed (${why}), and ${mount}/ could not be brought back to ${version}`, {
      detail:
        `Is the executable of ${version} still in the plugin directory? Then: vault secrets tune ` +
        `-plugin-version=${version} ${mount}/ && vault plugin reload -mounts=${mount}/`,
    });
  }
  throw new PosternError(
    'misconfigured',
    `The upgrade failed (${why}); ${mount}/ runs ${version} as before`,
    cause instanceof PosternError && cause.detail !== undefined ? { detail: cause.detail } : {},
  );
}
