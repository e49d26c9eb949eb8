import { tenantDocument } from '#broker/authorization/documents.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { inOrder } from '#broker/operator/parallel.ts';
import { patiently } from '#broker/operator/patience.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { BULK_WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { summaryOf, wholeOf } from './view.ts';
import type { Around, Role, TenantSummary, TenantView } from './view.ts';

export interface ListOptions {
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
  /** false: nobody asks when each was last used, which lies in up to 256 documents more. */
  readonly lastUse?: boolean | undefined;
}

export interface TenantPage {
  /** Most of them; all unless told. */
  readonly limit?: number | undefined;
  /** The last one of the page before. */
  readonly after?: string | undefined;
  /** A part of their ids. */
  readonly search?: string | undefined;
}

/** What Vault lists, without a look at any. */
export interface TenantIndex {
  /** Every one that has a role or a document, by id. */
  readonly names: readonly string[];
  readonly roles: ReadonlySet<string>;
  readonly documents: ReadonlySet<string>;
}

/** A tenant, and its document as far as that is valid. */
export interface Listed {
  readonly view: TenantView;
  readonly document: TenantGrants | undefined;
}

/** Every tenant that has a role or a document, by id. */
export async function listTenants(access: VaultAccess, options: ListOptions = {}): Promise<TenantView[]> {
  const views: TenantView[] = [];
  for await (const { view } of eachTenant(access, await tenantIndex(access), options)) views.push(view);
  return views;
}

/** Some of those whose id contains `search`, in the order of their ids. `next` names the last one where there are more. */
export async function pageTenants(
  access: VaultAccess,
  page: TenantPage & { limit: number },
): Promise<{ tenants: TenantView[]; next: string | undefined }> {
  const { index, next } = pageOf(await tenantIndex(access), page);
  const tenants: TenantView[] = [];
  for await (const { view } of eachTenant(access, index)) tenants.push(view);
  return { tenants, next };
}

/** @returns `next`: the last name of the page, where there are more */
export function pageOf(index: TenantIndex, page: TenantPage): { index: TenantIndex; next: string | undefined } {
  const { after, search = '', limit = Infinity } = page;
  const names = index.names.filter((name) => name.includes(search) && (after === undefined || name > after));
  const wanted = names.slice(0, limit);
  return { index: { ...index, names: wanted }, next: names.length > wanted.length ? wanted.at(-1) : undefined };
}

/** By id; those that have a role or a document. */
export async function tenantNames(access: VaultAccess): Promise<readonly string[]> {
  return (await tenantIndex(access)).names;
}

export async function tenantIndex(access: VaultAccess): Promise<TenantIndex> {
  const { approle } = access.mounts;
  const [roles, documents] = await Promise.all([
    access.call('list tenants', ({ client, as }) => client.list(`auth/${approle}/role`, as)),
    access.call('list tenants', ({ documents: kv, as }) => kv.list('tenants', as)),
  ]);
  const names = [...new Set([...roles, ...documents])].filter((name) => NAME.test(name)).sort();
  return { names, roles: new Set(roles), documents: new Set(documents) };
}

/** What their documents say, each as soon as it and those before it are read: one read each, and as many in memory as are being read. */
export async function* summarizeTenants(
  access: VaultAccess,
  index: TenantIndex,
  options: ListOptions = {},
): AsyncGenerator<TenantSummary, void, undefined> {
  const around = await readAround(access, options.lastUse === false ? [] : index.names);
  yield* each(index, options, async (tenant) => {
    const data = index.documents.has(tenant) ? await readDocument(access, tenant) : undefined;
    const hasRole = index.roles.has(tenant);
    if (data === undefined && !hasRole) return undefined;
    const summary = summaryOf(tenant, { hasRole, data }, around);
    // One that was interrupted while it was made, or is from before documents said it.
    return hasRole && summary.role_id === null ? { ...summary, role_id: (await roleIdOf(access, tenant)) ?? null } : summary;
  });
}

/** All that there is to say of each: three reads. */
export async function* eachTenant(
  access: VaultAccess,
  index: TenantIndex,
  options: ListOptions = {},
): AsyncGenerator<Listed, void, undefined> {
  const around = await readAround(access, options.lastUse === false ? [] : index.names);
  yield* each(index, options, async (tenant) => {
    const hasRole = index.roles.has(tenant);
    const [role, roleId, data] = await Promise.all([
      hasRole ? readRole(access, tenant) : undefined,
      hasRole ? roleIdOf(access, tenant) : undefined,
      index.documents.has(tenant) ? readDocument(access, tenant) : undefined,
    ]);
    // One that somebody deletes meanwhile is simply not there.
    if (data === undefined && role === undefined) return undefined;
    const parsed = tenantDocument.safeParse(data);
    return { view: wholeOf(access, tenant, { role, data, roleId: roleId ?? null }, around), document: parsed.data };
  });
}

async function* each<T>(
  { names }: TenantIndex,
  { onProgress, signal }: ListOptions,
  work: (tenant: string) => Promise<T | undefined>,
): AsyncGenerator<T, void, undefined> {
  let done = 0;
  const results = inOrder(names, BULK_WIDTH, (tenant) => {
    signal?.throwIfAborted();
    return patiently(() => work(tenant));
  });
  for await (const one of results) {
    done += 1;
    onProgress?.(done, names.length);
    if (one !== undefined) yield one;
  }
}

async function readAround(access: VaultAccess, tenants: readonly string[]): Promise<Around> {
  const [announcements, apis, used] = await Promise.all([
    readAnnouncements(access),
    readApis(access),
    readLastUse(access, 'tenant', tenants),
  ]);
  return { announcements, apis, used };
}

async function readDocument(access: VaultAccess, tenant: string): Promise<Record<string, unknown> | undefined> {
  return (await access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as))).data;
}

async function readRole(access: VaultAccess, tenant: string): Promise<Role | undefined> {
  const path = `auth/${access.mounts.approle}/role/${tenant}`;
  return (await access.call(`read the role of ${tenant}`, ({ client, as }) => client.read(path, as)))?.data ?? undefined;
}

/** @returns undefined where it is gone meanwhile */
async function roleIdOf(access: VaultAccess, tenant: string): Promise<string | undefined> {
  return readRoleId(access, tenant).catch((error: unknown) => {
    if (error instanceof PosternError && error.code === 'not_found') return undefined;
    throw error;
  });
}
