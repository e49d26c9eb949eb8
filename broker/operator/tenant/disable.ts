import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { clearCachedTokensTwice } from './cached-tokens.ts';
import { setPluginRoleDisabled } from './plugin-role.ts';
import { showTenant } from './view.ts';
import type { TenantView } from './view.ts';

/**
 * Nothing is issued to it any more: on every broker within 2 s, and past the brokers, by the secrets plugin and in the shared cache, when
 * this returns.
 * @throws {PosternError} not_found
 */
export async function disableTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  await showTenant(access, tenant);
  await stopTenant(access, tenant);
  return showTenant(access, tenant);
}

/** The same whether or not anything of it is left. @returns how many cached tokens were thrown away */
export async function stopTenant(access: VaultAccess, tenant: string): Promise<number> {
  const withPlugin = await hasPlugin(access);
  await announce(access, tenant, 'disable');
  if (withPlugin) await setPluginRoleDisabled(access, tenant, true);
  return clearCachedTokensTwice(access, tenant, withPlugin);
}

/** @throws {PosternError} not_found; conflict where its document, which is Terraform's, disables it too */
export async function enableTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  await showTenant(access, tenant);
  await announce(access, tenant, 'enable');
  const now = await showTenant(access, tenant);
  if (now.state === 'disabled')
    throw new PosternError('conflict', `${tenant} is enabled here, but its document in Vault disables it too`, {
      detail: 'Set `disabled = false` for it in Terraform and apply.',
    });
  if (await hasPlugin(access)) await setPluginRoleDisabled(access, tenant, false);
  return now;
}
