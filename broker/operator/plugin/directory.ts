import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { call } from './call.ts';

/** Vault's rules for executables, where the token may read its configuration. */
export interface PluginDirectory {
  /** Empty: none is configured. */
  directory: string;
  /** 0: Vault's own user. */
  fileUid: number;
  /** 0: any that lets nobody else write. */
  permissions: number;
}

/**
 * Where Vault looks for executables; undefined where this token may not read it. @throws {PosternError} misconfigured where Vault has no
 * plugin directory
 */
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
        'Set plugin_directory in the configuration of every node (an absolute path without symlinks, owned by ' +
        'the user of Vault, e.g. /etc/vault/plugins), and restart them.',
    });
  }
  return { directory, fileUid: typeof uid === 'number' ? uid : 0, permissions: typeof permissions === 'number' ? permissions : 0 };
}
