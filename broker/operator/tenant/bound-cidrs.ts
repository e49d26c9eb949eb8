import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { requireRole } from '#broker/operator/secret/secret-id.ts';

/**
 * Where every credential of a tenant may be used from, whatever it says of itself; empty: anywhere.
 * @throws {PosternError} not_found
 */
export async function readBoundCidrs(access: VaultAccess, tenant: string): Promise<string[]> {
  const found = (await requireRole(access, tenant))['secret_id_bound_cidrs'];
  return Array.isArray(found) ? found.filter((one): one is string => typeof one === 'string') : [];
}

/** The same for what is told of a credential that is issued already; undefined where Vault doesn't say. */
export function boundCidrsIfKnown(access: VaultAccess, tenant: string): Promise<string[] | undefined> {
  return readBoundCidrs(access, tenant).catch((error: unknown) => {
    if (error instanceof PosternError) return undefined;
    throw error;
  });
}
