import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { publicationPath } from '#broker/vault/publications.ts';

/**
 * Writes down for brokers what they keep fresh in KV though nobody asks: they may not read the tenant's own document. Where nothing is
 * marked, it goes.
 * @param document with its client_id; brokers publish nothing without one
 */
export async function writePublication(access: VaultAccess, tenant: string, document: TenantGrants): Promise<void> {
  const { publish, client_id, organization, claims, disabled } = document;
  const grants = document.grants.filter(({ api }) => publish.includes(api));
  if (grants.length === 0) return removePublication(access, tenant);
  const publication = { client_id: client_id ?? null, grants, organization: organization ?? null, claims, disabled };
  await access.call(`write what is published of ${tenant}`, ({ documents, as }) =>
    documents.write(publicationPath(tenant), publication, undefined, as),
  );
}

export async function removePublication(access: VaultAccess, tenant: string): Promise<void> {
  await access.call(`remove what is published of ${tenant}`, ({ documents, as }) => documents.remove(publicationPath(tenant), as));
}
