import type { VaultAccess } from '#broker/operator/access.ts';
import { changeTenantKeys, readRotations } from '#broker/operator/key/rotations.ts';
import type { SecretReplacement } from '#broker/vault/key-ends.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { CREDENTIAL_ID_METADATA, KEY_METADATA } from '#broker/vault/key-metadata.ts';
import { revokeSecretId } from './revoke.ts';
import { readSecretIds } from './secret-id.ts';

/** @throws {PosternError} conflict after 50 lost races */
export function changeReplacements(
  access: VaultAccess,
  tenant: string,
  edit: (replacements: readonly SecretReplacement[]) => SecretReplacement[] | undefined,
): Promise<void> {
  return changeTenantKeys(access, tenant, (before) => {
    const secrets = edit(before.secrets);
    return secrets === undefined ? undefined : { ...before, secrets };
  });
}

/**
 * Revokes the secret_ids whose end by a rotation has come, and forgets the rotations that are over. Harmless at any time. No broker ends
 * them by itself, as it does keys: until somebody calls this they go on.
 * @returns accessors of those revoked now
 * @throws {PosternError}
 */
export async function settleReplacements(access: VaultAccess, tenant: string): Promise<string[]> {
  const { secrets } = await readRotations(access, tenant);
  if (secrets.length === 0) return [];
  const [{ now }, stored] = await Promise.all([whoIs(access), readSecretIds(access, tenant)]);
  const there = new Set(stored.map(({ view }) => view.accessor));
  const due = secrets
    .filter(({ until, accessor }) => until !== null && until * 1000 <= now && there.has(accessor))
    .map(({ accessor }) => accessor);
  if (due.length > 0) await revokeSecretId(access, { tenant, accessors: due });
  const over = new Set([...due, ...secrets.map(({ accessor }) => accessor).filter((accessor) => !there.has(accessor))]);
  if (over.size > 0) await changeReplacements(access, tenant, (current) => current.filter(({ accessor }) => !over.has(accessor)));
  return due;
}

/** Revokes whatever was issued in place of a secret_id under another claim: nobody need have seen it. @returns accessors */
export async function destroyUnclaimed(access: VaultAccess, tenant: string, accessor: string, except: string): Promise<string[]> {
  const stored = await readSecretIds(access, tenant);
  const strays = stored
    .filter(({ metadata }) => metadata[KEY_METADATA.replaces] === accessor && metadata[CREDENTIAL_ID_METADATA] !== except)
    .map(({ view }) => view.accessor);
  if (strays.length > 0) await revokeSecretId(access, { tenant, accessors: strays });
  return strays;
}
