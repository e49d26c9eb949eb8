import { PosternError } from '#broker/error.ts';
import type { VaultAnswer } from '#broker/vault/client.ts';
import type { VaultAccess, VaultCall } from '#broker/operator/access.ts';
import { call } from './call.ts';

/** The plugin's name in Vault's catalogue, and so the type of its mounts. */
export const PLUGIN = 'postern-auth0';

/** One mount of the plugin. */
export interface PluginMount {
  /** Without slashes at the ends. */
  path: string;
  /** What it is pinned to; empty: to none. */
  version: string;
  /** What Vault started last. */
  running: { version: string; sha256: string };
}

/** Every mount of the plugin. @throws {PosternError} */
export async function listPluginMounts(access: VaultAccess): Promise<PluginMount[]> {
  return (await mounts(access)).flatMap(({ path, type, mount }) => (type === PLUGIN ? [mountOf(path, mount)] : []));
}

/** @throws {PosternError} conflict where another engine is mounted there */
export async function findMount(access: VaultAccess, path: string): Promise<PluginMount | undefined> {
  const found = (await mounts(access)).find((entry) => entry.path === path);
  if (found === undefined) return undefined;
  if (found.type !== PLUGIN)
    throw new PosternError('conflict', `${path}/ is a mount of type ${found.type}`, { detail: 'Name another path with --plugin-mount.' });
  return mountOf(path, found.mount);
}

export function mountPlugin(access: VaultAccess, path: string, version: string, description: string): Promise<unknown> {
  return call(access, `mount the plugin at ${path}/`, ({ client, as }) =>
    client.write(`sys/mounts/${path}`, { type: PLUGIN, description, seal_wrap: true, config: { plugin_version: version } }, as),
  );
}

type Json = Record<string, unknown>;

async function mounts(access: VaultAccess): Promise<Mount[]> {
  return mountsIn(await call(access, 'list its mounts', readMounts));
}

/** Whether the mount of the secrets plugin is one: somebody else's engine may lie at that path. */
export async function hasPlugin(access: VaultAccess): Promise<boolean> {
  const all = mountsIn(await access.call('list its mounts', readMounts));
  return all.some(({ path, type }) => path === access.mounts.plugin && type === PLUGIN);
}

const readMounts = ({ client, as }: VaultCall): Promise<VaultAnswer | undefined> => client.read('sys/mounts', as);

interface Mount {
  /** Without slashes at the ends. */
  path: string;
  type: string;
  mount: Json;
}

function mountsIn(answer: VaultAnswer | undefined): Mount[] {
  return Object.entries(answer?.data ?? {}).flatMap(([name, value]) => {
    const mount = (value ?? {}) as Json;
    return typeof mount['type'] === 'string' ? [{ path: name.replace(/\/$/, ''), type: mount['type'], mount }] : [];
  });
}

function mountOf(path: string, mount: Json): PluginMount {
  const text = (name: string): string => (typeof mount[name] === 'string' ? mount[name] : '');
  return { path, version: text('plugin_version'), running: { version: text('running_plugin_version'), sha256: text('running_sha256') } };
}
