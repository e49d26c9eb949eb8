import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { CATALOG_PATH, catalogDocument } from '#broker/vault/catalog.ts';
import type { TenantIndex } from './list.ts';
import type { TenantSummary } from './view.ts';

/**
 * The state of every tenant as brokers are told it, by two reads whatever their number: by operators' announcements, and by Terraform's.
 * Whether a document is valid it doesn't tell.
 * @throws {PosternError} misconfigured where the announcements are not valid
 */
export async function tenantStates(
  access: VaultAccess,
  { roles, documents }: TenantIndex,
): Promise<(tenant: string) => TenantSummary['state']> {
  const [announcements, catalog] = await Promise.all([
    readAnnouncements(access),
    access.call('read what Terraform announced', ({ documents: kv, as }) => kv.read(CATALOG_PATH, as)),
  ]);
  const byTerraform = catalogDocument.safeParse(catalog.data).data?.disabled ?? [];
  const disabled = new Set([...announcements.disabled, ...byTerraform]);
  return (tenant) => (!roles.has(tenant) || !documents.has(tenant) ? 'incomplete' : disabled.has(tenant) ? 'disabled' : 'active');
}
