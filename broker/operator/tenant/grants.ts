import type { TenantGrants } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { createTenant } from './create.ts';
import type { Grant } from './specification.ts';
import type { TenantView } from './view.ts';

/** Each API once, with all that is said of it. */
export function merged(grants: readonly Grant[]): { api: string; scopes: string[] }[] {
  const byApi = Map.groupBy(grants, ({ api }) => api);
  return [...byApi].map(([api, those]) => ({ api, scopes: [...new Set(those.flatMap(({ scopes }) => scopes))].sort() }));
}

/**
 * Gives a tenant more, beside what it has. @throws {PosternError} not_found; invalid_request where there is no such API or scope;
 * conflict where somebody else changes it
 */
export function addGrants(access: VaultAccess, tenant: string, added: readonly Grant[]): Promise<TenantView> {
  return createTenant(access, tenant, { grants: merged(added) }, { update: true, edit: (before) => merged([...before.grants, ...added]) });
}

/**
 * Takes APIs away, or of an API only the scopes that are named; access tokens that hold them are void from then on.
 * @throws {PosternError} not_found where it has no such grant; conflict for the default API, and where somebody else changes it
 */
export function removeGrants(access: VaultAccess, tenant: string, removed: readonly Grant[]): Promise<TenantView> {
  const edit = ({ grants: before, default_api: defaultApi, narrowing_since: narrowing }: TenantGrants): Grant[] => {
    // What is not there may be what one that was broken off took away: this one goes on with it.
    if (typeof narrowing !== 'number') for (const { api, scopes } of removed) requireThere(tenant, before, api, scopes);
    const after = before.flatMap((grant): Grant[] => {
      const less = merged(removed).find(({ api }) => api === grant.api);
      if (less === undefined) return [grant];
      const scopes = grant.scopes.filter((scope) => !less.scopes.includes(scope));
      return less.scopes.length === 0 ? [] : [{ api: grant.api, scopes }];
    });
    if (defaultApi && !after.some(({ api }) => api === defaultApi))
      throw new PosternError('conflict', `${defaultApi} is the default API of ${tenant}`, {
        detail: `Nothing was changed. First: postern tenant create ${tenant} --update --no-default-api (or --default-api <another>).`,
      });
    return after;
  };
  return createTenant(access, tenant, {}, { update: true, replace: true, edit });
}

function requireThere(tenant: string, before: readonly Grant[], api: string, scopes: readonly string[]): void {
  const grant = before.find((one) => one.api === api);
  const missing = scopes.filter((scope) => !grant?.scopes.includes(scope));
  if (grant !== undefined && missing.length === 0) return;
  const has = grant === undefined ? before.map((one) => one.api) : grant.scopes;
  throw new PosternError(
    'not_found',
    grant === undefined ? `${tenant} has no grant for the API "${api}"` : `${tenant} does not have ${missing.join(', ')} at ${api}`,
    { detail: `Nothing was changed. It has ${has.join(', ') || 'none'}: postern tenant grant list ${tenant}` },
  );
}
