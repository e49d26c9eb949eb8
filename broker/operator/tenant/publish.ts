import { tenantDocument } from '#broker/authorization/documents.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { publishedOf, removePublication, writePublication } from './publication.ts';
import { findTenant } from './view.ts';

export interface Published {
  readonly tenant: string;
  /** Names of APIs. */
  readonly apis: readonly string[];
}

/**
 * Writes down anew what is published of tenants: a mark of an API counts for tenants that were written before it from here on.
 * @param tenants undefined: all that operators manage; those of Terraform's come with its apply
 * @returns those of which something is published now
 * @throws {PosternError} not_found; misconfigured where a tenant's document is not valid
 */
export async function publishTenants(
  access: VaultAccess,
  tenants: readonly string[] | undefined,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<Published[]> {
  tenants?.forEach(checkTenantId);
  const list = (path: string): Promise<string[]> => access.call('list what is published', ({ documents, as }) => documents.list(path, as));
  const [apis, there, before] = await Promise.all([readApis(access), tenants ?? list('tenants'), list('publications')]);
  let done = 0;
  const settled = await inParallel(there, WIDTH, async (tenant): Promise<(Published & { changed: boolean }) | undefined> => {
    options.signal?.throwIfAborted();
    const { data } = await findTenant(access, tenant);
    if (data === undefined && tenants !== undefined) throw new PosternError('not_found', `There is no tenant "${tenant}"`);
    const document = tenantDocument.safeParse(data ?? {});
    if (!document.success)
      throw new PosternError('misconfigured', `The document of ${tenant} in Vault is not valid: ${documentFault(document.error)}`, {
        detail: 'See postern doctor.',
      });
    options.onProgress?.((done += 1), there.length);
    if (document.data.managed_by === 'terraform' && tenants === undefined) return undefined;
    const names = publishedOf(document.data, apis);
    if (names.length > 0) await writePublication(access, tenant, document.data, apis);
    else if (before.includes(tenant)) await removePublication(access, tenant);
    return { tenant, apis: names, changed: names.length > 0 || before.includes(tenant) };
  });
  const found = settled.filter((one) => one !== undefined);
  // One after the other: each is written by check-and-set.
  for (const { tenant, changed } of found) if (changed) await announce(access, tenant);
  return found.filter(({ apis: names }) => names.length > 0).map(({ tenant, apis: names }) => ({ tenant, apis: names }));
}
