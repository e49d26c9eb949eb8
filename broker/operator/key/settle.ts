import { KEY_METADATA } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announceEndings } from '#broker/operator/ending.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { changeRotations, readRotations } from './rotations.ts';
import { readSecretIds } from '#broker/operator/secret/secret-id.ts';

/**
 * Destroys at Vault the keys whose end by a rotation has come, and forgets the rotations that are over. Harmless at any time.
 * @returns key ids of those destroyed now
 * @throws {PosternError}
 */
export async function settleRotations(access: VaultAccess, tenant: string): Promise<string[]> {
  const { rotations } = await readRotations(access, tenant);
  if (rotations.length === 0) return [];
  const [{ now }, stored] = await Promise.all([whoIs(access), readSecretIds(access, tenant)]);
  const there = new Set(stored.map(({ view }) => view.accessor));
  const due = rotations.filter(({ until, accessor }) => until !== null && until * 1000 <= now && there.has(accessor));
  if (due.length > 0) await revokeSecretId(access, { tenant, accessors: due.map(({ accessor }) => accessor) });
  const over = new Set([...due, ...rotations.filter(({ accessor }) => !there.has(accessor))].map(({ key_id: keyId }) => keyId));
  for (const { key_id: keyId, new_key_id: newId } of rotations) if (over.has(keyId)) await destroyStrays(access, tenant, keyId, newId);
  // The record alone may say that a key ended by its rotation, and Vault tokens of it may live on: brokers must know it otherwise before it
  // goes.
  if (over.size > 0)
    await announceEndings(
      access,
      now,
      [...over].map((id) => ({ kind: 'credential', id, tenant })),
    );
  if (over.size > 0) await changeRotations(access, tenant, (current) => current.filter(({ key_id: keyId }) => !over.has(keyId)));
  return due.map(({ key_id: keyId }) => keyId);
}

/** Destroys whatever was issued in place of a key under another claim. @returns key ids */
export async function destroyStrays(access: VaultAccess, tenant: string, keyId: string, except: string): Promise<string[]> {
  const stored = await readSecretIds(access, tenant);
  const strays = stored.filter(({ metadata }) => metadata[KEY_METADATA.replaces] === keyId && metadata[KEY_METADATA.keyId] !== except);
  if (strays.length > 0) await revokeSecretId(access, { tenant, accessors: strays.map(({ view }) => view.accessor) });
  return strays.map(({ metadata }) => String(metadata[KEY_METADATA.keyId]));
}
