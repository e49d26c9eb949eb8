import { tenantDocument } from '#broker/authorization/documents.ts';
import type { Api, TenantGrants } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { Announcements } from '#broker/credential/announcements.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { rotationsPath } from '#broker/vault/key-ends.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { announce, readAnnouncements } from '#broker/operator/announcement.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { canonicalCidrs, checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { checkSpecification } from './specification.ts';
import type { TenantSpecification } from './specification.ts';

/** A tenant as Vault has it. Fields as in Vault's own documents. */
export interface TenantView {
  tenant: string;
  /** `incomplete`: a role without a document or the reverse, so that nothing is issued to it. */
  state: 'active' | 'disabled' | 'incomplete';
  /** The customer's client_id. */
  role_id: string | null;
  grants: { api: string; scopes: string[] }[];
  default_api: string | null;
  /** APIs that it serves: it may introspect every tenant's tokens for them. */
  introspects: string[];
  organization: string | null;
  claims: Record<string, unknown>;
  /** Seconds. */
  token_ttl: number;
  /** Seconds; 0: until revoked. */
  secret_id_ttl: number;
  /** 0: no limit. */
  secret_id_num_uses: number;
  cidrs: string[];
  /** Worst case after anything is revoked: a token handed out just before still opens its API for so many seconds, where services verify by key set alone. */
  lives_on: { api: string; seconds: number }[];
  /** What is not as it should be, in words. */
  problems: string[];
}

type Role = Record<string, unknown>;
interface Found {
  role: Role | undefined;
  /** As stored; undefined where there is none. */
  data: Record<string, unknown> | undefined;
  version: number;
}

/** @throws {PosternError} not_found */
export async function showTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  checkTenantId(tenant);
  const [found, epoch, apis] = await Promise.all([find(access, tenant), readAnnouncements(access), readApis(access)]);
  return view(access, tenant, found, epoch, apis);
}

/** Every tenant that has a role or a document, by id. */
export async function listTenants(
  access: VaultAccess,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<TenantView[]> {
  return viewAll(access, await tenantNames(access), options);
}

/** Some of them, in the order of their ids. `next` names the last one where there are more. */
export async function pageTenants(
  access: VaultAccess,
  page: { limit: number; after?: string | undefined },
): Promise<{ tenants: TenantView[]; next: string | undefined }> {
  const names = (await tenantNames(access)).filter((name) => page.after === undefined || name > page.after);
  const wanted = names.slice(0, page.limit);
  return { tenants: await viewAll(access, wanted), next: names.length > wanted.length ? wanted.at(-1) : undefined };
}

async function tenantNames(access: VaultAccess): Promise<string[]> {
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
  const [epoch, apis] = await Promise.all([readAnnouncements(access), readApis(access)]);
  let done = 0;
  const views = await inParallel(tenants, WIDTH, async (tenant) => {
    options.signal?.throwIfAborted();
    // One that somebody deletes meanwhile is simply not there.
    const one = await find(access, tenant)
      .then((found) => view(access, tenant, found, epoch, apis))
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

/**
 * Makes a tenant: its document, then its role. What was interrupted in between is completed by the same call.
 * @param update change one that is there; what `spec` leaves out stays
 * @throws {PosternError} conflict when it is there and this is no update; not_found when it is not and this is one; invalid_request
 */
export async function createTenant(
  access: VaultAccess,
  tenant: string,
  spec: TenantSpecification,
  options: { update?: boolean } = {},
): Promise<TenantView> {
  checkTenantId(tenant);
  const [found, apis] = await Promise.all([find(access, tenant), readApis(access)]);
  const there = found.role !== undefined && found.data !== undefined;
  if (there && !options.update)
    throw new PosternError('conflict', `The tenant "${tenant}" exists`, {
      detail: 'Nothing was changed. With --update it is changed; `postern tenant show` tells how it is now.',
    });
  if (options.update && found.role === undefined && found.data === undefined)
    throw new PosternError('not_found', `There is no tenant "${tenant}" to update`, { detail: 'Without --update it is made.' });
  checkSpecification(tenant, spec, apis);
  const document = documentOf(found, spec);
  if (document.default_api && !document.grants.some(({ api }) => api === document.default_api)) {
    throw new PosternError('invalid_request', `The default API "${document.default_api}" of ${tenant} is not among its grants`, {
      detail: 'Grant it, or name another default API.',
    });
  }
  // Check-and-set: of two who make the same tenant at once, one is told so, and has not touched the role.
  await access
    .call(`write the tenant ${tenant}`, ({ documents, as }) => documents.write(`tenants/${tenant}`, document, found.version, as))
    .catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'conflict')
        throw new PosternError('conflict', `Somebody else is changing the tenant "${tenant}" right now`, {
          detail: 'Look at it with `postern tenant show` and repeat.',
        });
      throw error;
    });
  await writeRole(access, tenant, spec, found.role);
  // Brokers remember the grants of a verified credential for a while.
  const epoch = await (there ? announce(access, tenant) : readAnnouncements(access));
  return view(access, tenant, await find(access, tenant), epoch, apis);
}

/** Nothing is issued to it any more, on every broker within 2 s. @throws {PosternError} not_found */
export async function disableTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  await showTenant(access, tenant);
  await announce(access, tenant, 'disable');
  return showTenant(access, tenant);
}

/** @throws {PosternError} not_found; conflict where its document, which is Terraform's, disables it too */
export async function enableTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  await showTenant(access, tenant);
  await announce(access, tenant, 'enable');
  const now = await showTenant(access, tenant);
  if (now.state !== 'disabled') return now;
  throw new PosternError('conflict', `${tenant} is enabled here, but its document in Vault disables it too`, {
    detail: 'Set `disabled = false` for it in Terraform and apply.',
  });
}

export interface Deletion {
  tenant: string;
  /** Cached tokens thrown away. */
  cached_tokens: number;
  epoch: number;
}

/**
 * Ends a tenant: it is disabled first, so that brokers stop at once, then its role and with it every secret_id, its document and its cached
 * tokens go, and last its name leaves the list of disabled ones. Interrupted, the same call goes on.
 * @throws {PosternError} not_found
 */
export async function deleteTenant(access: VaultAccess, tenant: string): Promise<Deletion> {
  checkTenantId(tenant);
  const { approle } = access.mounts;
  const withPlugin = await hasPlugin(access);
  const [{ disabled }, cached] = await Promise.all([readAnnouncements(access), cachedTokens(access, tenant, withPlugin)]);
  if (!disabled.includes(tenant) && cached.length === 0) await showTenant(access, tenant);
  await announce(access, tenant, 'disable');
  await access.call(`delete the role of ${tenant}`, ({ client, as }) => client.delete(`auth/${approle}/role/${tenant}`, as));
  await access.call(`delete the document of ${tenant}`, ({ documents, as }) => documents.remove(`tenants/${tenant}`, as));
  await access.call(`delete the rotations of ${tenant}`, ({ documents, as }) => documents.remove(rotationsPath(tenant), as));
  // Listed again: a broker may have cached one before it heard.
  const left = await cachedTokens(access, tenant, withPlugin);
  await inParallel(left, WIDTH, (remove) => remove());
  const { epoch } = await announce(access, tenant, 'enable');
  return { tenant, cached_tokens: left.length, epoch };
}

/** One removal for each of a tenant's cached tokens, in KV and in the secrets plugin: brokers may have used either. Never a token. */
async function cachedTokens(access: VaultAccess, tenant: string, withPlugin: boolean): Promise<(() => Promise<void>)[]> {
  const doing = `cached tokens of ${tenant}`;
  const { plugin } = access.mounts;
  const inKv = await kvPaths(access, tenant);
  const inPlugin = withPlugin ? await access.call(`list ${doing}`, ({ client, as }) => client.list(`${plugin}/tokens/${tenant}`, as)) : [];
  return [
    ...inKv.map((path) => () => access.call(`delete ${doing}`, ({ tokens, as }) => tokens.remove(path, as))),
    // Those of all APIs and scopes go at once.
    ...(inPlugin.length === 0
      ? []
      : [() => access.call(`delete ${doing}`, ({ client, as }) => client.delete(`${plugin}/tokens/${tenant}`, as))]),
  ];
}

/** `<tenant>/<api>` and `<tenant>/<api>/<digest>`. */
async function kvPaths(access: VaultAccess, tenant: string): Promise<string[]> {
  const list = (path: string): Promise<string[]> =>
    access.call(`list cached tokens of ${tenant}`, ({ tokens, as }) => tokens.list(path, as));
  const entries = await list(tenant);
  const folders = entries.filter((entry) => entry.endsWith('/')).map((entry) => entry.slice(0, -1));
  const deeper = await inParallel(folders, WIDTH, async (folder) =>
    (await list(`${tenant}/${folder}`)).map((digest) => `${folder}/${digest}`),
  );
  return [...entries.filter((entry) => !entry.endsWith('/')), ...deeper.flat()].map((entry) => `${tenant}/${entry}`);
}

async function find(access: VaultAccess, tenant: string): Promise<Found> {
  const path = `auth/${access.mounts.approle}/role/${tenant}`;
  const [role, document] = await Promise.all([
    access.call(`read the role of ${tenant}`, ({ client, as }) => client.read(path, as)),
    access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as)),
  ]);
  return { role: role?.data ?? undefined, data: document.data, version: document.version };
}

async function writeRole(access: VaultAccess, tenant: string, spec: TenantSpecification, before: Role | undefined): Promise<void> {
  const { approle, policyPrefix } = access.mounts;
  const ttl = spec.tokenTtl ?? (before === undefined ? 300 : undefined);
  await access.call(`write the role of ${tenant}`, ({ client, as }) =>
    client.write(
      `auth/${approle}/role/${tenant}`,
      {
        // No lease is stored for a batch token, however often a tenant logs in.
        token_type: 'batch',
        token_policies: [`${policyPrefix}tenant`],
        token_no_default_policy: true,
        bind_secret_id: true,
        // As text: a policy compares no numbers.
        ...(ttl === undefined ? {} : { token_ttl: String(ttl), token_max_ttl: String(ttl) }),
        ...(spec.secretIdTtl === undefined ? {} : { secret_id_ttl: spec.secretIdTtl }),
        ...(spec.secretIdNumUses === undefined ? {} : { secret_id_num_uses: spec.secretIdNumUses }),
        ...(spec.cidrs === undefined ? {} : { secret_id_bound_cidrs: canonicalCidrs(spec.cidrs) }),
      },
      as,
    ),
  );
}

function documentOf(found: Found, spec: TenantSpecification): TenantGrants {
  const parsed = tenantDocument.safeParse(found.data ?? {});
  if (!parsed.success) {
    throw new PosternError('conflict', `The tenant's document in Vault is not valid: ${documentFault(parsed.error)}`, {
      detail: 'Delete the tenant and make it anew, or mend the document in Terraform.',
    });
  }
  const before = parsed.data;
  return {
    grants: spec.grants?.map(({ api, scopes }) => ({ api, scopes: [...new Set(scopes)].sort() })) ?? before.grants,
    default_api: spec.defaultApi === undefined ? (before.default_api ?? null) : spec.defaultApi,
    introspects: spec.introspects === undefined ? before.introspects : [...new Set(spec.introspects)].sort(),
    organization: spec.organization === undefined ? (before.organization ?? null) : spec.organization,
    claims: spec.claims === undefined ? before.claims : { ...spec.claims },
    disabled: before.disabled,
  };
}

async function view(
  access: VaultAccess,
  tenant: string,
  { role, data }: Found,
  epoch: Announcements,
  apis: ReadonlyMap<string, Api | undefined>,
): Promise<TenantView> {
  if (role === undefined && data === undefined) {
    throw new PosternError('not_found', `There is no tenant "${tenant}"`, {
      detail: 'See `postern tenant list`; make it with `postern tenant create` or Terraform.',
    });
  }
  const parsed = tenantDocument.safeParse(data ?? {});
  const document: TenantGrants = parsed.success ? parsed.data : { grants: [], introspects: [], claims: {}, disabled: false };
  const problems: string[] = [];
  if (role === undefined) problems.push('it has no AppRole role, so it cannot log in: run `postern tenant create` again to complete it');
  if (data === undefined)
    problems.push('it has no document, so nothing is granted to it: run `postern tenant create` again to complete it');
  if (!parsed.success) problems.push(`its document is not valid: ${documentFault(parsed.error)}`);
  if (role !== undefined) problems.push(...roleProblems(access, role));
  const disabled = epoch.disabled.includes(tenant) || document.disabled;
  return {
    tenant,
    state: role === undefined || data === undefined || !parsed.success ? 'incomplete' : disabled ? 'disabled' : 'active',
    role_id: role === undefined ? null : await readRoleId(access, tenant),
    grants: document.grants,
    default_api: document.default_api ?? null,
    introspects: document.introspects,
    organization: document.organization ?? null,
    claims: document.claims,
    token_ttl: numberOf(role?.['token_ttl']),
    secret_id_ttl: numberOf(role?.['secret_id_ttl']),
    secret_id_num_uses: numberOf(role?.['secret_id_num_uses']),
    cidrs: strings(role?.['secret_id_bound_cidrs']),
    lives_on: document.grants.flatMap(({ api }) => {
      const seconds = apis.get(api)?.lifetime;
      return seconds === undefined ? [] : { api, seconds };
    }),
    problems,
  };
}

function roleProblems(access: VaultAccess, role: Role): string[] {
  const problems: string[] = [];
  const policy = `${access.mounts.policyPrefix}tenant`;
  const policies = strings(role['token_policies']);
  if (role['token_type'] !== 'batch')
    problems.push(`its role gives ${String(role['token_type'])} tokens, which the broker refuses; it must be batch`);
  if (policies.length !== 1 || policies[0] !== policy)
    problems.push(`its role has the policies ${policies.join(', ') || 'none'}; it must be ${policy} alone`);
  if (role['bind_secret_id'] === false) problems.push('its role lets in whoever knows the role_id (bind_secret_id is off)');
  return problems;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
