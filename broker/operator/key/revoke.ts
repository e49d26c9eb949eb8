import { KEY_ID, KEY_METADATA } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { checkKeyName, listKeys } from './list.ts';
import { settleRotations } from './settle.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import type { RevokeOptions } from '#broker/operator/secret/revoke.ts';
import { readSecretIds } from '#broker/operator/secret/secret-id.ts';

export interface KeyRevocation {
  tenant: string;
  /** As they were named; of `all`, their key ids. */
  revoked: string[];
  missing: string[];
  /** Of the announcement; null where there was nothing to announce. */
  epoch: number | null;
}

/**
 * Destroys API keys at Vault and announces it: every broker refuses them within 2 s. Interrupted, the same call goes on.
 * @param options.keys key ids or accessors; `all`: every API key, while plain secret_ids stay
 * @throws {PosternError} as {@link revokeSecretId}
 */
export async function revokeKeys(
  access: VaultAccess,
  options: { tenant: string; keys: readonly string[] | 'all' } & Pick<RevokeOptions, 'onProgress' | 'signal'>,
): Promise<KeyRevocation> {
  const { tenant } = options;
  checkTenantId(tenant);
  if (options.keys !== 'all') for (const which of options.keys) checkKeyName(which);
  const wanted = options.keys === 'all' ? undefined : [...new Set(options.keys)];
  const known = wanted === undefined || wanted.some((which) => KEY_ID.test(which)) ? await listKeys(access, tenant) : [];
  const names = wanted ?? known.map(({ key_id: keyId }) => keyId);
  const accessorOf = (which: string): string | undefined =>
    KEY_ID.test(which) ? known.find(({ key_id: keyId }) => keyId === which)?.accessor : which;
  const accessors = new Map(
    names.flatMap((which) => accessorOf(which) ?? []).map((accessor) => [accessor, names.find((which) => accessorOf(which) === accessor)!]),
  );
  const unknown = names.filter((which) => accessorOf(which) === undefined);
  // Whoever was interrupted after the destruction repeats the call: it announces once more, though the key is gone from the list.
  if (accessors.size === 0)
    return { tenant, revoked: [], missing: unknown, epoch: unknown.length === 0 ? null : (await announce(access, tenant)).epoch };
  const { revoked, missing, epoch } = await revokeSecretId(access, { ...options, accessors: [...accessors.keys()] });
  // Their rotations are over; what fails here is left to the next run.
  await settleRotations(access, tenant).catch(() => {});
  return {
    tenant,
    revoked: revoked.map((one) => accessors.get(one) ?? one),
    missing: [...unknown, ...missing.map((one) => accessors.get(one) ?? one)],
    epoch,
  };
}

/**
 * Revokes what an earlier attempt at a request has made, and perhaps nobody knows. Each attempt makes a key of another id: one that has
 * ended is never good again.
 * @throws {PosternError} as {@link revokeSecretId}
 */
export async function revokeStrays(access: VaultAccess, tenant: string, request: string): Promise<void> {
  const strays = (await readSecretIds(access, tenant)).filter(({ metadata }) => metadata[KEY_METADATA.request] === request);
  if (strays.length > 0) await revokeSecretId(access, { tenant, accessors: strays.map(({ view }) => view.accessor) });
}
