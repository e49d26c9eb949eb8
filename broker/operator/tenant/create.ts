import { tenantDocument } from '#broker/authorization/documents.ts';
import type { Api, TenantGrants } from '#broker/authorization/documents.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce, readAnnouncements } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { announceEndings } from '#broker/operator/ending.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { canonicalQuota } from '#broker/quota/terms.ts';
import { canonicalLimits } from '#broker/rate-limit/limits.ts';
import { clearCachedTokensTwice } from './cached-tokens.ts';
import { isUnmade, removeRole, writeRole } from './role.ts';
import { writePluginRole } from './plugin-role.ts';
import { publishedOf, writePublication } from './publication.ts';
import { longestLife } from './revoke-tokens.ts';
import { checkSpecification } from './specification.ts';
import type { Grant, TenantSpecification } from './specification.ts';
import { requireFreeName } from './tombstone.ts';
import { findTenant, viewOf } from './view.ts';
import type { Found, TenantView } from './view.ts';

export interface CreateOptions {
  /** Change one that is there; what the specification leaves out stays. */
  update?: boolean;
  /** The grants named are all that it has from now on; without it, an update that would drop one is refused. */
  replace?: boolean;
  /** Use the name of a deleted tenant though tokens of that one may be alive. */
  force?: boolean;
  /**
   * Of an update: makes the grants out of those that are there, in one check-and-set. Those of the specification are only checked.
   */
  edit?: (before: TenantGrants) => readonly Grant[];
}

/** An update leaves out grants that are there. */
export class GrantsLeftOut extends PosternError {
  constructor(tenant: string, dropped: readonly string[]) {
    super('conflict', `${tenant} has grants that are not named: ${dropped.join(', ')}`, {
      detail:
        'Nothing was changed. Name them too, or say --replace: then it has only what is named. `postern tenant grant add` leaves ' +
        'those that are there.',
    });
  }
}

/**
 * Makes a tenant: its document, then its role and all else, then the client_id into the document. What was interrupted in between is
 * completed by the same call. An update that takes something away is announced, and ends the access tokens that hold it.
 * @throws {PosternError} conflict when it is there and this is not an update, when a grant would be dropped, or the name was used lately;
 * not_found
 *   when it is not there and this is an update; invalid_request
 */
export async function createTenant(
  access: VaultAccess,
  tenant: string,
  spec: TenantSpecification,
  options: CreateOptions = {},
): Promise<TenantView> {
  checkTenantId(tenant);
  const [apis, withPlugin] = await Promise.all([readApis(access), hasPlugin(access)]);
  const { problem } = await writeTenant(access, tenant, spec, { ...options, apis, withPlugin });
  const [made, used, announcements] = await Promise.all([
    findTenant(access, tenant),
    readLastUse(access, 'tenant', [tenant]),
    readAnnouncements(access),
  ]);
  const view = await viewOf(access, tenant, made, announcements, apis, used);
  return problem === undefined ? view : { ...view, problems: [...view.problems, problem] };
}

/** What is the same for every tenant: whoever makes many reads it once. */
export interface Surroundings {
  readonly apis: ReadonlyMap<string, Api | undefined>;
  readonly withPlugin: boolean;
  /** Vault listed neither role nor document of that name, nor a deleted tenant: none is looked for. Writing stays check-and-set. */
  readonly isNew?: boolean | undefined;
}

export interface Written {
  /** The customer's client_id. */
  readonly roleId: string;
  /** Why the secrets plugin takes it not, in words; undefined where it did. */
  readonly problem: string | undefined;
}

const NOTHING: Found = { role: undefined, data: undefined, version: 0 };

/** The same without a look at it afterwards. @throws {PosternError} as `createTenant` */
export async function writeTenant(
  access: VaultAccess,
  tenant: string,
  spec: TenantSpecification,
  options: CreateOptions & Surroundings,
): Promise<Written> {
  checkTenantId(tenant);
  const { apis, withPlugin, isNew = false } = options;
  const found = isNew ? NOTHING : await findTenant(access, tenant);
  const unmade = await isUnmade(access, tenant, found);
  const role = unmade ? undefined : found.role;
  const there = role !== undefined && found.data !== undefined;
  // Its client_id is written into it last of all that makes it.
  const named = typeof found.data?.['client_id'] === 'string';
  if (there && named && !options.update)
    throw new PosternError('conflict', `The tenant "${tenant}" exists`, {
      detail: 'Nothing was changed. With --update it is changed; `postern tenant show` tells how it is now.',
    });
  if (found.role === undefined && found.data === undefined) {
    if (options.update)
      throw new PosternError('not_found', `There is no tenant "${tenant}" to update`, { detail: 'Without --update it is made.' });
    if (!isNew) await requireFreeName(access, tenant, options.force === true);
  }
  checkSpecification(tenant, spec, apis);
  const before = documentBefore(found);
  const document = documentOf(before, options.edit === undefined ? spec : { ...spec, grants: options.edit(before) });
  // A grant that goes takes its mark along.
  if (spec.publish === undefined) document.publish = document.publish.filter((api) => document.grants.some((grant) => grant.api === api));
  if (there && !options.replace) requireNoneDropped(tenant, before, document);
  if (document.default_api && !document.grants.some(({ api }) => api === document.default_api)) {
    throw new PosternError('invalid_request', `The default API "${document.default_api}" of ${tenant} is not among its grants`, {
      detail: 'Grant it, or name another default API.',
    });
  }
  const unpublishable = document.publish.filter((api) => !document.grants.some((grant) => grant.api === api));
  if (spec.publish !== undefined && unpublishable.length > 0) {
    throw new PosternError('invalid_request', `${tenant} has no grant for what is to be published: ${unpublishable.join(', ')}`, {
      detail: 'Grant it, or leave it out.',
    });
  }
  const roleIdBefore = role === undefined ? undefined : await readRoleId(access, tenant);
  const narrowing = before.narrowing_since ?? (there && isNarrower(before, document) ? Math.floor(access.clock.now() / 1000) : undefined);
  const made = roleIdBefore !== undefined && (named || found.data === undefined);
  // The mark stays until the tokens that hold more are ended: whoever comes after one that was broken off finds the narrow document alone.
  const marked = narrowing === undefined ? document : { ...document, narrowing_since: narrowing };
  const version = await writeDocument(access, tenant, { ...marked, client_id: made ? roleIdBefore : null }, found.version);
  if (unmade) await removeRole(access, tenant);
  await writeRole(access, tenant, spec, role);
  const roleId = roleIdBefore ?? (await readRoleId(access, tenant));
  const whole = { ...document, client_id: roleId };
  const isPublished = publishedOf(document, apis).length > 0;
  // What was published may not be told by the document any more: it was narrowed by one that was broken off.
  if (isPublished || !isNew) await writePublication(access, tenant, whole, apis);
  // After the document: what was issued by the wide one until now is ended with it.
  if (narrowing !== undefined)
    await announceEndings(access, (await whoIs(access)).now, [{ kind: 'issued', id: tenant, tenant, lives: await longestLife(access) }]);
  // Brokers remember the grants of a verified credential for a while.
  const told = there || isPublished;
  const announcements = told ? await announce(access, tenant) : withPlugin ? await readAnnouncements(access) : undefined;
  const problem = withPlugin
    ? await writePluginRole(
        access,
        tenant,
        { ...document, disabled: document.disabled || announcements?.disabled.includes(tenant) === true },
        roleId,
      )
    : undefined;
  if (narrowing !== undefined) await clearCachedTokensTwice(access, tenant, withPlugin);
  // Last: until then the document shows that something is left to do, and the same call again does it.
  if (!made) await writeDocument(access, tenant, whole, version);
  else if (narrowing !== undefined) await removeMark(access, tenant, whole, version);
  return { roleId, problem };
}

/** Check-and-set: of two who make the same tenant at once, one is told so, and has not touched the role. @returns the version written */
function writeDocument(access: VaultAccess, tenant: string, document: TenantGrants, version: number): Promise<number> {
  return access
    .call(`write the tenant ${tenant}`, ({ documents, as }) => documents.write(`tenants/${tenant}`, document, version, as))
    .catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'conflict')
        throw new PosternError('conflict', `Somebody else is changing the tenant "${tenant}" right now`, {
          detail: 'Look at it with `postern tenant show` and repeat.',
        });
      throw error;
    });
}

/** Where somebody else has changed it meanwhile the mark is theirs to remove; where it was made anew, it has none. */
async function removeMark(access: VaultAccess, tenant: string, document: TenantGrants, version: number): Promise<void> {
  const now = await access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as));
  if (now.version !== version || now.data?.['client_id'] !== document.client_id) return;
  await writeDocument(access, tenant, document, version).catch((error: unknown) => {
    if (!(error instanceof PosternError && error.code === 'conflict')) throw error;
  });
}

/** A list of grants that leaves one out may be a list of those to add. @throws {PosternError} conflict */
function requireNoneDropped(tenant: string, before: TenantGrants, after: TenantGrants): void {
  const dropped = before.grants.map(({ api }) => api).filter((api) => !after.grants.some((grant) => grant.api === api));
  if (dropped.length === 0) return;
  throw new GrantsLeftOut(tenant, dropped);
}

/** Whether access tokens made before may hold a scope, or be for an API, that it no longer has. */
function isNarrower(before: TenantGrants, after: TenantGrants): boolean {
  return before.grants.some(({ api, scopes }) => {
    const left = after.grants.find((grant) => grant.api === api);
    return left === undefined || scopes.some((scope) => !left.scopes.includes(scope));
  });
}

function documentBefore(found: Found): TenantGrants {
  const parsed = tenantDocument.safeParse(found.data ?? {});
  if (parsed.success) return parsed.data;
  throw new PosternError('conflict', `The tenant's document in Vault is not valid: ${documentFault(parsed.error)}`, {
    detail: 'Delete the tenant and make it anew, or mend the document in Terraform.',
  });
}

function documentOf(before: TenantGrants, spec: TenantSpecification): TenantGrants {
  return {
    grants: spec.grants?.map(({ api, scopes }) => ({ api, scopes: [...new Set(scopes)].sort() })) ?? before.grants,
    default_api: spec.defaultApi === undefined ? (before.default_api ?? null) : spec.defaultApi,
    introspects: spec.introspects === undefined ? before.introspects : [...new Set(spec.introspects)].sort(),
    publish: spec.publish === undefined ? before.publish : [...new Set(spec.publish)].sort(),
    organization: spec.organization === undefined ? (before.organization ?? null) : spec.organization,
    claims: spec.claims === undefined ? before.claims : { ...spec.claims },
    disabled: before.disabled,
    // Terraform's or an import's to set; what it is stays.
    ...(spec.selfService === undefined
      ? before.self_service
        ? { self_service: before.self_service }
        : {}
      : selfServiceOf(spec.selfService)),
    ...limitsOf(spec.limits === undefined ? before.limits : spec.limits),
    ...quotaOf(spec.quota === undefined ? before.quota : spec.quota),
    ...(before.managed_by ? { managed_by: before.managed_by } : {}),
  };
}

function quotaOf(given: TenantGrants['quota']): Pick<TenantGrants, 'quota'> {
  const quota = canonicalQuota(given);
  return quota === null ? {} : { quota };
}

function limitsOf(given: TenantGrants['limits']): Pick<TenantGrants, 'limits'> {
  const limits = canonicalLimits(given);
  return limits === null ? {} : { limits };
}

function selfServiceOf(limits: NonNullable<TenantGrants['self_service']> | null): Pick<TenantGrants, 'self_service'> {
  return limits === null ? {} : { self_service: limits };
}
