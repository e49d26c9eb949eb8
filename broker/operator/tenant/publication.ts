import type { Api, TenantGrants } from '#broker/authorization/documents.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { canonicalQuota } from '#broker/quota/terms.ts';
import { publicationPath } from '#broker/vault/publications.ts';

type Apis = ReadonlyMap<string, Api | undefined>;
type Marked = { readonly grants: readonly { readonly api: string }[]; readonly publish: readonly string[] };

/** APIs whose token brokers keep fresh in KV: the tenant is marked for it, or the API is for everybody who is granted it. */
export function publishedOf({ grants, publish }: Marked, apis: Apis): string[] {
  return grants.map(({ api }) => api).filter((api) => publish.includes(api) || apis.get(api)?.publish === true);
}

/**
 * Writes down for brokers what they keep fresh in KV though nobody asks: they may not read the tenant's own document. Where nothing is
 * marked, it goes.
 * @param document with its client_id; brokers publish nothing without one
 */
export async function writePublication(access: VaultAccess, tenant: string, document: TenantGrants, apis: Apis): Promise<void> {
  const { client_id, organization, claims, disabled, publish } = document;
  const quota = canonicalQuota(document.quota);
  const names = publishedOf(document, apis);
  if (names.length === 0) return removePublication(access, tenant);
  const grants = document.grants.filter(({ api }) => names.includes(api));
  const publication = {
    client_id: client_id ?? null,
    grants,
    publish,
    organization: organization ?? null,
    claims,
    disabled,
    ...(quota === null ? {} : { quota }),
  };
  await access.call(`write what is published of ${tenant}`, ({ documents, as }) =>
    documents.write(publicationPath(tenant), publication, undefined, as),
  );
}

export async function removePublication(access: VaultAccess, tenant: string): Promise<void> {
  await access.call(`remove what is published of ${tenant}`, ({ documents, as }) => documents.remove(publicationPath(tenant), as));
}
