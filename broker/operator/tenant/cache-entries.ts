import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import { kvPaths } from './cached-tokens.ts';

/** A place of the cache that brokers share. What lies there is never read: an operator may not, and it may have ended. */
export interface CacheEntry {
  tenant: string;
  api: string;
  /** Names the set of scopes, where it isn't all that the tenant has; null: all of them. */
  digest: string | null;
}

/** @param tenant undefined: every tenant's. @throws {PosternError} */
export async function listCache(access: VaultAccess, tenant?: string): Promise<CacheEntry[]> {
  if (tenant !== undefined) checkTenantId(tenant);
  const tenants =
    tenant === undefined
      ? (await access.call('list cached tokens', ({ tokens, as }) => tokens.list('', as)))
          .filter((entry) => entry.endsWith('/'))
          .map((entry) => entry.slice(0, -1))
          .filter((name) => NAME.test(name))
          .sort()
      : [tenant];
  const found = await inParallel(tenants, WIDTH, async (name) => (await kvPaths(access, name)).map(entryOf));
  return found.flat();
}

/**
 * Throws cached tokens of a tenant away, of one API or of all. A broker that has one in memory goes on with it; whoever has none asks the
 * issuer again.
 * @returns how many places were cleared
 * @throws {PosternError}
 */
export async function dropCache(access: VaultAccess, tenant: string, api?: string): Promise<number> {
  checkTenantId(tenant);
  if (api !== undefined && !NAME.test(api))
    throw new PosternError('invalid_request', 'That is not the name of an API', { detail: 'See postern api list.' });
  const paths = (await kvPaths(access, tenant)).filter((path) => api === undefined || entryOf(path).api === api);
  await inParallel(paths, WIDTH, (path) => access.call(`delete cached tokens of ${tenant}`, ({ tokens, as }) => tokens.remove(path, as)));
  return paths.length;
}

function entryOf(path: string): CacheEntry {
  const [tenant = '', api = '', digest = null] = path.split('/');
  return { tenant, api, digest };
}
