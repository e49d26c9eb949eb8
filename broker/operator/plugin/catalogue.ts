import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { call } from './call.ts';
import { listPluginMounts, PLUGIN } from './mounts.ts';

/**
 * One arena for malloc: each thread of Node would keep one, and with it a tenth of the memory. Only the environment says so, and only at
 * the start.
 */
export const PLUGIN_ENVIRONMENT: readonly string[] = ['MALLOC_ARENA_MAX=1'];

const CATALOGUE = `sys/plugins/catalog/secret/${PLUGIN}`;

/** What the catalogue says of one version. */
export interface CataloguedPlugin {
  version: string;
  /** Hexadecimal. */
  sha256: string;
  /** File name in the plugin directory. */
  command: string;
}

export interface RegistrationOptions extends CataloguedPlugin {
  /** Another executable may take the place of a registered version that no mount runs. */
  replace?: boolean;
  /** Called before each step with what is done. */
  onStep?: (step: string) => void;
}

export type Registration = 'registered' | 'unchanged' | 'replaced';

/** @returns undefined where the version is not registered. @throws {PosternError} */
export async function readCatalogue(access: VaultAccess, version: string): Promise<CataloguedPlugin | undefined> {
  const answer = await call(access, "read the plugin's entry in the catalogue", ({ client, as }) =>
    client.read(CATALOGUE, { ...as, version }),
  );
  if (!answer?.data) return undefined;
  const { sha256, command } = answer.data;
  return { version, sha256: String(sha256), command: String(command) };
}

/** Registers the version where it isn't yet. @throws {PosternError} conflict where another executable is registered as this version */
export async function register(access: VaultAccess, options: RegistrationOptions): Promise<Registration> {
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
    client.read(`sys/plugins/pins/secret/${PLUGIN}`, as).catch((error: unknown) => {
      // OpenBao has no pins, nor have Vaults before 1.17.
      if (error instanceof VaultFault && error.isOfNoMount) return undefined;
      throw error;
    }),
  ).catch((error: unknown) => {
    // A token need not be allowed to see them.
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
