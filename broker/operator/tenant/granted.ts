import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { showTenant } from './view.ts';

/**
 * That a tenant is granted each of some scopes at some API which has it.
 * @param what of the tenant's would be narrowed to them, in words
 * @throws {PosternError} invalid_request, not_found
 */
export async function checkGranted(access: VaultAccess, tenant: string, scopes: readonly string[], what: string): Promise<void> {
  const [{ grants }, apis] = await Promise.all([showTenant(access, tenant), readApis(access)]);
  const granted = new Set(grants.flatMap(({ api, scopes: at }) => at.filter((scope) => apis.get(api)?.scopes.includes(scope))));
  const refused = scopes.filter((scope) => !granted.has(scope));
  if (refused.length === 0) return;
  throw new PosternError('invalid_request', `${tenant} is not granted ${refused.slice(0, 20).join(', ')}, so ${what} can't be either`, {
    detail: `It has ${granted.size === 0 ? 'no scopes' : [...granted].sort().slice(0, 50).join(', ')}.`,
  });
}
