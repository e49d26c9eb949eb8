import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { findTenant, viewOf } from './view.ts';
import type { TenantView } from './view.ts';

/** Every tenant that has a role or a document, by id. */
export async function listTenants(
  access: VaultAccess,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<TenantView[]> {
  return viewAll(access, await tenantNames(access), options);
}

/** Some of those whose id contains `search`, in the order of their ids. `next` names the last one where there are more. */
export async function pageTenants(
  access: VaultAccess,
  page: { limit: number; after?: string | undefined; search?: string | undefined },
): Promise<{ tenants: TenantView[]; next: string | undefined }> {
  const { after, search = '' } = page;
  const names = (await tenantNames(access)).filter((name) => name.includes(search) && (after === undefined || name > after));
  const wanted = names.slice(0, page.limit);
  return { tenants: await viewAll(access, wanted), next: names.length > wanted.length ? wanted.at(-1) : undefined };
}

/** By id; those that have a role or a document. */
export async function tenantNames(access: VaultAccess): Promise<string[]> {
  const { approle } = access.mounts;
  const [roles, documents] = await Promise.all([
    access.call('list tenants', ({ client, as }) => client.list(`auth/${approle}/role`, as)),
    access.call('list tenants', ({ documents, as }) => documents.list('tenants', as)),
  ]);
  return [...new Set([...roles, ...documents])].filter((name) => NAME.test(name)).sort();
}

async function viewAll(
  access: VaultAccess,
  tenants: readonly string[],
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<TenantView[]> {
  const [announcements, apis, used] = await Promise.all([
    readAnnouncements(access),
    readApis(access),
    readLastUse(access, 'tenant', tenants),
  ]);
  let done = 0;
  const views = await inParallel(tenants, WIDTH, async (tenant) => {
    options.signal?.throwIfAborted();
    // One that somebody deletes meanwhile is simply not there.
    const one = await findTenant(access, tenant)
      .then((found) => viewOf(access, tenant, found, announcements, apis, used))
      .catch((error: unknown) => {
        if (error instanceof PosternError && error.code === 'not_found') return undefined;
        throw error;
      });
    done += 1;
    options.onProgress?.(done, tenants.length);
    return one;
  });
  return views.filter((one) => one !== undefined);
}
