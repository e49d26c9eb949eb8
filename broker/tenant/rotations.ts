import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import { rotationsDocument, rotationsPath } from '#broker/vault/rotations.ts';
import type { Rotations } from '#broker/vault/rotations.ts';
import type { VaultAccess } from './access.ts';

/** Each lost race means that somebody else's change went through. */
const ATTEMPTS = 50;

/** The keys of a tenant that are being replaced. @throws {PosternError} misconfigured where the document is not valid */
export async function readRotations(access: VaultAccess, tenant: string): Promise<{ rotations: Rotations; version: number }> {
  const path = rotationsPath(tenant);
  const { data, version } = await access.call(`read the rotations of ${tenant}`, ({ documents, as }) => documents.read(path, as));
  const parsed = rotationsDocument.safeParse(data ?? {});
  if (parsed.success) return { rotations: parsed.data.rotations, version };
  throw new PosternError('misconfigured', `${access.mounts.kv}/${path} in Vault is not valid`, {
    detail: `Brokers serve no API key of ${tenant} until it is. Restore an older version: vault kv rollback -mount=${access.mounts.kv} -version=${Math.max(1, version - 1)} ${path}`,
  });
}

/**
 * Changes them by check-and-set: of several at once each sees what the one before has written.
 * @param edit returns undefined where nothing is to be changed; what it throws passes
 * @throws {PosternError} conflict after 50 lost races
 */
export async function changeRotations(access: VaultAccess, tenant: string, edit: (rotations: Rotations) => Rotations | undefined): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { rotations, version } = await readRotations(access, tenant);
    const edited = edit(rotations);
    if (edited === undefined) return;
    try {
      await access.call(`note a rotation of ${tenant}`, ({ documents, as }) => documents.write(rotationsPath(tenant), { rotations: edited }, version, as));
      return;
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'conflict') || attempt === ATTEMPTS) throw error;
      await sleep(Math.random() * 20 * Math.min(attempt, 10));
    }
  }
}
