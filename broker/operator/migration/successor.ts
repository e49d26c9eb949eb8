import { tenantDocument } from '#broker/authorization/documents.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { findTenant } from '#broker/operator/tenant/view.ts';
import type { Guard, Successor } from './retire.ts';

/** What stands in an application's place: a tenant is read when it is asked for, APIs and who is disabled once. @throws {PosternError} */
export async function successors(access: VaultAccess): Promise<Guard['stands']> {
  const [apis, announcements] = await Promise.all([readApis(access), readAnnouncements(access)]);
  const disabled = new Set(announcements.disabled);
  return async (tenant): Promise<Successor | undefined> => {
    const { role, data } = await findTenant(access, tenant);
    const parsed = tenantDocument.safeParse(data);
    if (role === undefined || !parsed.success) return undefined;
    const grants = parsed.data.grants.flatMap(({ api: name, scopes }) => {
      const api = apis.get(name);
      return api === undefined ? [] : [[api.audience, { granted: scopes, all: api.scopes }] as const];
    });
    return { disabled: parsed.data.disabled || disabled.has(tenant), grants: new Map(grants) };
  };
}
