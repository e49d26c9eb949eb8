import { createHash } from 'node:crypto';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { tenantNames } from './list.ts';
import { listTombstones } from './tombstone.ts';

export interface Client {
  readonly tenant: string;
  readonly client_id: string;
  /** Of a tenant that was deleted, and perhaps made anew with another client_id. */
  readonly deleted: boolean;
}

/**
 * Whose this client_id is. Vault keeps no index of them, so tenants are looked through until it is found.
 * @param wanted the client_id, or its SHA-256 in hexadecimal as the audit has it
 */
export async function findClient(
  access: VaultAccess,
  wanted: string,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<Client | undefined> {
  const is = (id: string): boolean => id === wanted || createHash('sha256').update(id).digest('hex') === wanted;
  const found = await firstOf(
    await tenantNames(access),
    async (tenant) => {
      const id = await readRoleId(access, tenant).catch((error: unknown) => {
        // Deleted meanwhile, or a document without a role.
        if (error instanceof PosternError && error.code === 'not_found') return undefined;
        throw error;
      });
      return id !== undefined && is(id) ? { tenant, client_id: id, deleted: false } : undefined;
    },
    options,
  );
  if (found !== undefined) return found;
  const deleted = await listTombstones(access);
  for (const { tenant, client_ids: ids } of deleted) for (const id of ids) if (is(id)) return { tenant, client_id: id, deleted: true };
  return undefined;
}

/** The first answer of any item, several asked at once; no further item is begun after it. */
export async function firstOf<T, R>(
  items: readonly T[],
  ask: (item: T) => Promise<R | undefined>,
  { onProgress, signal }: { onProgress?: Progress; signal?: AbortSignal },
): Promise<R | undefined> {
  let found: R | undefined;
  let done = 0;
  await inParallel(items, WIDTH, async (item) => {
    signal?.throwIfAborted();
    if (found !== undefined) return;
    found = (await ask(item)) ?? found;
    done += 1;
    onProgress?.(found === undefined ? done : items.length, items.length);
  });
  return found;
}
