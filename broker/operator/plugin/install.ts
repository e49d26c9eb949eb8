import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { register } from './catalogue.ts';
import type { CataloguedPlugin, Registration, RegistrationOptions } from './catalogue.ts';
import { findMount, mountPlugin } from './mounts.ts';
import { verify } from './running.ts';

export interface InstallOptions extends RegistrationOptions {
  /** Where it is mounted. */
  mount: string;
}

export interface PluginResult extends CataloguedPlugin {
  mount: string;
  registered: Registration;
  /** `upgraded`: in place, its storage kept. */
  mounted: 'mounted' | 'unchanged' | 'upgraded';
  /** What ran before; null where nothing did. */
  previous_version: string | null;
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

export function described({
  mount,
  version,
  sha256,
  command,
}: InstallOptions): Pick<PluginResult, 'mount' | 'version' | 'sha256' | 'command'> {
  return { mount, version, sha256, command };
}
