import type { VaultAccess } from '#broker/operator/access.ts';

/**
 * Who writes a tenant's document anew, so that a change by hand lasts only until then: `terraform`; null: operators.
 * @throws {PosternError}
 */
export async function managerOf(access: VaultAccess, tenant: string): Promise<string | null> {
  const { data } = await access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as));
  const manager = data?.['managed_by'];
  return typeof manager === 'string' ? manager : null;
}
