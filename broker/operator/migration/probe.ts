import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { issueSecretId } from '#broker/operator/secret/issue.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';

/** Seconds. Whoever is killed leaves one that ends by itself. */
const LIFE = 120;

/**
 * A credential of a tenant's for as long as the work takes; it leaves this process for the broker alone. The customer's own stays wrapped.
 * @throws {PosternError}
 */
export async function withProbe<T>(
  access: VaultAccess,
  tenant: string,
  work: (credential: { clientId: string; clientSecret: string }) => Promise<T>,
): Promise<T> {
  const issued = await issueSecretId(access, { tenant, ttl: LIFE, numUses: 0, name: 'migrate verify', wrap: false });
  const { role_id: clientId, secret_id: clientSecret, accessor } = issued;
  if (clientSecret === undefined) throw new PosternError('temporarily_unavailable', 'Vault answered without a secret_id');
  try {
    return await work({ clientId, clientSecret });
  } finally {
    if (accessor !== null) await revokeSecretId(access, { tenant, accessors: [accessor] });
  }
}
