import type { TenantGrants } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';

const pathOf = (access: VaultAccess, tenant: string): string => `${access.mounts.plugin}/roles/${tenant}`;

/**
 * Gives the tenant the same in the secrets plugin as its document does here.
 * @returns why the plugin takes it not, in words; undefined where it did
 */
export async function writePluginRole(
  access: VaultAccess,
  tenant: string,
  document: TenantGrants,
  roleId: string,
): Promise<string | undefined> {
  // It knows the APIs of one token source only; the others are none of its business.
  const { plugin } = access.mounts;
  const apis = await access.call("list the plugin's APIs", ({ client, as }) => client.list(`${plugin}/apis`, as));
  const grants = document.grants.filter(({ api }) => apis.includes(api));
  const role = {
    grants,
    default_api: grants.some(({ api }) => api === document.default_api) ? document.default_api : null,
    organization: document.organization ?? null,
    claims: document.claims,
    disabled: document.disabled,
    client_id: roleId,
  };
  try {
    await write(access, tenant, role);
    return undefined;
  } catch (error) {
    // Its APIs are Terraform's to write, and it may have fewer of them.
    if (error instanceof PosternError && error.code === 'invalid_request')
      return `the secrets plugin gives it nothing new: ${error.message}`;
    throw error;
  }
}

/** A tenant that the plugin doesn't know stays unknown to it. */
export async function setPluginRoleDisabled(access: VaultAccess, tenant: string, disabled: boolean): Promise<void> {
  const path = pathOf(access, tenant);
  const role = await access.call(`read the plugin's role of ${tenant}`, ({ client, as }) => client.read(path, as));
  if (role?.data === undefined || role.data === null) return;
  await write(access, tenant, { disabled }).catch((error: unknown) => {
    if (!disabled || !(error instanceof PosternError && error.code === 'invalid_request')) throw error;
    // It grants an API that the plugin no longer has, which must not keep it from being disabled.
    return write(access, tenant, { disabled, grants: [], default_api: null });
  });
}

export async function deletePluginRole(access: VaultAccess, tenant: string): Promise<void> {
  await access.call(`delete the plugin's role of ${tenant}`, ({ client, as }) => client.delete(pathOf(access, tenant), as));
}

function write(access: VaultAccess, tenant: string, role: Record<string, unknown>): Promise<unknown> {
  return access.call(`write the plugin's role of ${tenant}`, ({ client, as }) => client.write(pathOf(access, tenant), role, as));
}
