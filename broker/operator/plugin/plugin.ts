import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import type { VaultAnswer } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultAccess, VaultCall } from '#broker/operator/access.ts';

/** The plugin's name in Vault's catalogue, and so the type of its mounts. */
export const PLUGIN = 'postern-auth0';
/** One arena for malloc: each thread of Node would keep one, and with it a tenth of the memory. Only the environment says so, and only at the start. */
export const PLUGIN_ENVIRONMENT: readonly string[] = ['MALLOC_ARENA_MAX=1'];
const CATALOGUE = `sys/plugins/catalog/secret/${PLUGIN}`;

/** Where a new version is tried: below one path, so that a policy can name it. */
const TRIAL = `${PLUGIN}-trial/`;

/** How long a reload may take to be seen, ms. */
const RELOAD_MS = 15_000;

/** What the catalogue says of one version. */
export interface CataloguedPlugin {
  version: string;
  /** Hexadecimal. */
  sha256: string;
  /** File name in the plugin directory. */
  command: string;
}

/** One mount of the plugin. */
export interface PluginMount {
  /** Without slashes at the ends. */
  path: string;
  /** What it is pinned to; empty: to none. */
  version: string;
  /** What Vault started last. */
  running: { version: string; sha256: string };
}

/** Vault's rules for executables, where the token may read its configuration. */
export interface PluginDirectory {
  /** Empty: none is configured. */
  directory: string;
  /** 0: Vault's own user. */
  fileUid: number;
  /** 0: any that lets nobody else write. */
  permissions: number;
}

export interface InstallOptions extends CataloguedPlugin {
  /** Where it is mounted. */
  mount: string;
  /** Another executable may take the place of a registered version that no mount runs. */
  replace?: boolean;
  /** Called before each step with what is done. */
  onStep?: (step: string) => void;
}

export interface PluginResult extends CataloguedPlugin {
  mount: string;
  registered: 'registered' | 'unchanged' | 'replaced';
  /** `upgraded`: in place, its storage kept. */
  mounted: 'mounted' | 'unchanged' | 'upgraded';
  /** What ran before; null where nothing did. */
  previous_version: string | null;
}

/** Where Vault looks for executables; undefined where this token may not read it. @throws {PosternError} misconfigured where Vault has no plugin directory */
export async function readPluginDirectory(access: VaultAccess): Promise<PluginDirectory | undefined> {
  const answer = await call(access, 'read its configuration', ({ client, as }) => client.read('sys/config/state/sanitized', as)).catch(
    (error: unknown) => {
      if (error instanceof PosternError && (error.code === 'access_denied' || error.code === 'not_found')) return undefined;
      throw error;
    },
  );
  if (!answer?.data) return undefined;
  const { plugin_directory: directory, plugin_file_uid: uid, plugin_file_permissions: permissions } = answer.data;
  if (typeof directory !== 'string' || directory === '') {
    throw new PosternError('misconfigured', 'Vault has no plugin directory, so it runs no plugin', {
      detail:
        'Set plugin_directory in the configuration of every node (an absolute path without symlinks, owned by the user of Vault, e.g. /etc/vault/plugins), and restart them.',
    });
  }
  return { directory, fileUid: typeof uid === 'number' ? uid : 0, permissions: typeof permissions === 'number' ? permissions : 0 };
}

/** @returns undefined where the version is not registered. @throws {PosternError} */
export async function readCatalogue(access: VaultAccess, version: string): Promise<CataloguedPlugin | undefined> {
  const answer = await call(access, "read the plugin's entry in the catalogue", ({ client, as }) =>
    client.read(CATALOGUE, { ...as, version }),
  );
  if (!answer?.data) return undefined;
  const { sha256, command } = answer.data;
  return { version, sha256: String(sha256), command: String(command) };
}

/** Every mount of the plugin. @throws {PosternError} */
export async function listPluginMounts(access: VaultAccess): Promise<PluginMount[]> {
  return (await mounts(access)).flatMap(({ path, type, mount }) => (type === PLUGIN ? [mountOf(path, mount)] : []));
}

/**
 * Registers the version and mounts it, pinned. Everything that is so already stays as it is, so that an interrupted
 * installation is completed by running it again.
 * @throws {PosternError} conflict where the mount runs another version: that is an upgrade
 */
export async function installPlugin(access: VaultAccess, options: InstallOptions): Promise<PluginResult> {
  const { mount, version, onStep } = options;
  const before = await findMount(access, mount);
  if (before !== undefined && before.version !== version && before.running.version !== version) {
    throw new PosternError('conflict', `${mount}/ is mounted already and runs ${before.running.version || 'a plugin without version'}`, {
      detail: 'Bring it to this version, its storage kept: postern plugin upgrade',
    });
  }
  const registered = await register(access, options);
  if (before !== undefined) return { ...described(options), registered, mounted: 'unchanged', previous_version: before.running.version };
  onStep?.(`mounting ${mount}/`);
  await mountPlugin(access, mount, version, 'Postern: Auth0 access tokens');
  await verify(access, options);
  return { ...described(options), registered, mounted: 'mounted', previous_version: null };
}

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

async function register(access: VaultAccess, options: InstallOptions): Promise<PluginResult['registered']> {
  const { version, sha256, command, replace, onStep } = options;
  await checkPin(access, version);
  const found = await readCatalogue(access, version);
  if (found?.sha256 === sha256 && found.command === command) return 'unchanged';
  if (found !== undefined && found.sha256 !== sha256) {
    const user = (await listPluginMounts(access)).find(
      ({ version: pinned, running }) => pinned === version && running.sha256 === found.sha256,
    );
    if (user !== undefined)
      throw new PosternError(
        'conflict',
        `${version} is registered with another executable (sha256 ${found.sha256.slice(0, 12)}…), and ${user.path}/ runs it`,
        { detail: 'Give the new one a version of its own: make plugin ARGS="--version v1.2.4"' },
      );
    if (replace !== true)
      throw new PosternError('conflict', `${version} is registered with another executable (sha256 ${found.sha256.slice(0, 12)}…)`, {
        detail: 'Give the new one a version of its own, or say --replace: no mount runs the old one.',
      });
  }
  onStep?.(`registering ${version}`);
  await call(access, 'register the plugin', ({ client, as }) =>
    client.write(CATALOGUE, { version, sha256, command, env: PLUGIN_ENVIRONMENT }, as),
  );
  return found === undefined ? 'registered' : 'replaced';
}

/** Vault's "pinned version" of a plugin overrules what a mount asks for. */
async function checkPin(access: VaultAccess, version: string): Promise<void> {
  const answer = await call(access, 'read the pinned version of the plugin', ({ client, as }) =>
    client.read(`sys/plugins/pins/secret/${PLUGIN}`, as),
  ).catch((error: unknown) => {
    // Vaults before 1.17 have no pins, and a token need not be allowed to see them.
    if (error instanceof PosternError && ['access_denied', 'invalid_request', 'not_found'].includes(error.code)) return undefined;
    throw error;
  });
  const pinned = answer?.data?.['version'];
  if (typeof pinned === 'string' && pinned !== '' && pinned !== version) {
    throw new PosternError('conflict', `Vault pins ${PLUGIN} to ${pinned}, so no mount can run ${version}`, {
      detail: `Remove the pin: vault delete sys/plugins/pins/secret/${PLUGIN}`,
    });
  }
}

function mountPlugin(access: VaultAccess, path: string, version: string, description: string): Promise<unknown> {
  return call(access, `mount the plugin at ${path}/`, ({ client, as }) =>
    client.write(`sys/mounts/${path}`, { type: PLUGIN, description, seal_wrap: true, config: { plugin_version: version } }, as),
  );
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
      detail: `Is the executable of ${version} still in the plugin directory? Then: vault secrets tune -plugin-version=${version} ${mount}/ && vault plugin reload -mounts=${mount}/`,
    });
  }
  throw new PosternError(
    'misconfigured',
    `The upgrade failed (${why}); ${mount}/ runs ${version} as before`,
    cause instanceof PosternError && cause.detail !== undefined ? { detail: cause.detail } : {},
  );
}

/** Whether the mount runs what was asked for: by Vault's word, and by the plugin's own answer. */
async function verify(access: VaultAccess, { mount, version, sha256 }: { mount: string; version: string; sha256: string }): Promise<void> {
  await awaitRunning(access, mount, (found) => found.version === version && isRunning(found, { version, sha256 }));
  const info = await call(access, `read ${mount}/info`, ({ client, as }) => client.read(`${mount}/info`, as));
  const told = info?.data?.['version'];
  if (told !== version)
    throw new PosternError(
      'misconfigured',
      `${mount}/info says that ${typeof told === 'string' ? told : 'no version'} runs, not ${version}`,
      { detail: 'Is the executable the one that was registered, on the node that answered?' },
    );
}

async function awaitRunning(access: VaultAccess, path: string, wanted: (mount: PluginMount) => boolean): Promise<void> {
  for (const deadline = performance.now() + RELOAD_MS; ; await sleep(100)) {
    const found = await findMount(access, path);
    if (found !== undefined && wanted(found)) return;
    if (performance.now() > deadline) {
      throw new PosternError(
        'misconfigured',
        `${path}/ runs ${found?.running.version || 'nothing'} (sha256 ${found?.running.sha256.slice(0, 12) || 'none'}…), not what was asked for`,
        { detail: "Vault's log says why." },
      );
    }
  }
}

function isRunning({ running }: PluginMount, { version, sha256 }: { version: string; sha256: string }): boolean {
  return running.version === version && running.sha256 === sha256;
}

function described({ mount, version, sha256, command }: InstallOptions): Pick<PluginResult, 'mount' | 'version' | 'sha256' | 'command'> {
  return { mount, version, sha256, command };
}

/** @throws {PosternError} conflict where another engine is mounted there */
async function findMount(access: VaultAccess, path: string): Promise<PluginMount | undefined> {
  const found = (await mounts(access)).find((entry) => entry.path === path);
  if (found === undefined) return undefined;
  if (found.type !== PLUGIN)
    throw new PosternError('conflict', `${path}/ is a mount of type ${found.type}`, { detail: 'Name another path with --plugin-mount.' });
  return mountOf(path, found.mount);
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

/** Vault's words about an executable -> what is wrong, and what to do. It answers all of these with 400 or 500. */
const WORDS: readonly (readonly [words: RegExp, message: string, remedy: string])[] = [
  [
    /cannot execute files outside/,
    "The executable is a symlink, or Vault's plugin directory is reached by one, and Vault runs nothing from there",
    'Set plugin_directory to the real path, put the file itself there, and run this again.',
  ],
  [
    /not owned by/,
    "The executable or the plugin directory is not owned by Vault's user",
    "chown both to Vault's user, or set plugin_file_uid in Vault's configuration.",
  ],
  [
    /insecure permissions|does not have permissions/,
    'Others than its owner may write to the executable or into the plugin directory',
    "Run chmod go-w on both, or set plugin_file_permissions in Vault's configuration.",
  ],
  [
    /checksums did not match/,
    'The executable in the plugin directory is another one than the registered: their sha256 differ',
    'Copy the right one there, on every node; with --plugin-directory it is done on this machine.',
  ],
  [
    /plugin directory (is )?not configured|directory is not configured/i,
    'Vault has no plugin directory, so it runs no plugin',
    'Set plugin_directory in the configuration of every node, and restart them.',
  ],
  [
    /exec format error/,
    'The executable is made for another kind of machine than the one that Vault runs on',
    'Run `make plugin` on a machine of that kind, or install the script postern-auth0.cjs.',
  ],
  [/permission denied/, "Vault's user may not execute the file", 'Run chmod 0755 on it; and its disk must not be mounted noexec.'],
  [
    /no such file or directory/,
    'The executable is not in the plugin directory of the node that answered, or what it needs to run is missing there',
    'Copy it there on every node, or name the directory with --plugin-directory where it is on this machine.',
  ],
  [
    /did not match requested version|version mismatch/,
    'The executable says another version of itself',
    'Leave --plugin-version out, or name the version that it was built as.',
  ],
  [
    /Unrecognized remote plugin message|plugin exited before|unable to run/i,
    'Vault cannot start the plugin',
    "Vault's log says what it wrote. The script postern-auth0.cjs needs Node 24 on the PATH of Vault.",
  ],
];

function call<T>(access: VaultAccess, doing: string, work: (vault: VaultCall) => Promise<T>): Promise<T> {
  return access.call(doing, async (vault) => {
    try {
      return await work(vault);
    } catch (error) {
      if (!(error instanceof VaultFault)) throw error;
      if (error.reason === 'denied') {
        throw new PosternError('access_denied', `Vault refuses to ${doing} (permission denied)`, {
          detail: 'Installing plugins is for platform engineers: docs/plugin.md has the policy that your token needs.',
        });
      }
      const known = WORDS.find(([words]) => words.test(error.message));
      if (known === undefined) throw error;
      throw new PosternError('misconfigured', known[1], { detail: known[2] });
    }
  });
}
