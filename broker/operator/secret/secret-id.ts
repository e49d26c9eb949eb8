import { PosternError } from '#broker/error.ts';
import { EXPIRY_METADATA } from '#broker/vault/key-metadata.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import type { SecretIdView, StoredSecretId } from './stored.ts';

export type { SecretIdView, StoredSecretId } from './stored.ts';

/** Look-ups at once: enough to hide the round trips, far below what the mount's quota lets through. */
export const WIDTH = 8;
/** The same for work on every tenant: a network of milliseconds is hidden too, and a quota that it meets is waited for. */
export const BULK_WIDTH = 32;

/** Called with how many are done, of how many. */
export type Progress = (done: number, all: number) => void;

/** The tenant's accessors. @throws {PosternError} not_found where there is no such tenant */
export async function listAccessors(access: VaultAccess, tenant: string): Promise<string[]> {
  checkTenantId(tenant);
  const { approle } = access.mounts;
  try {
    return await access.call(`list secret_ids of ${tenant}`, ({ client, as }) =>
      client.list(`auth/${approle}/role/${tenant}/secret-id`, as),
    );
  } catch (error) {
    // Vault calls it a bad request when there is no such role.
    if (error instanceof PosternError && error.code === 'invalid_request') await requireRole(access, tenant);
    throw error;
  }
}

/** @returns undefined where this tenant has no such secret_id (any more) */
export async function lookUpSecretId(access: VaultAccess, tenant: string, accessor: string): Promise<SecretIdView | undefined> {
  return (await readSecretId(access, tenant, accessor))?.view;
}

/** The same with its metadata. */
export async function readSecretId(access: VaultAccess, tenant: string, accessor: string): Promise<StoredSecretId | undefined> {
  const path = `auth/${access.mounts.approle}/role/${tenant}/secret-id-accessor/lookup`;
  const answer = await access.call(`look up a secret_id of ${tenant}`, async ({ client, as }) => {
    try {
      // A look-up changes nothing, though Vault makes it a write: it may be tried again.
      return await client.write(path, { secret_id_accessor: accessor }, { ...as, attempts: 3 });
    } catch (error) {
      if (error instanceof VaultFault && error.reason === 'not_found' && !error.isOfNoMount) return undefined;
      throw error;
    }
  });
  // Another tenant's accessor is answered with nothing at all.
  if (answer?.data?.['secret_id_accessor'] !== accessor) return undefined;
  return storedOf(tenant, accessor, answer.data);
}

/**
 * The one that a secret itself names, without a login: it costs none of its uses, and is found from wherever it may be used.
 * @returns undefined where Vault has no such secret_id of this tenant (any more)
 */
export async function readPresented(access: VaultAccess, tenant: string, secretId: string): Promise<StoredSecretId | undefined> {
  const path = `auth/${access.mounts.approle}/role/${tenant}/secret-id/lookup`;
  const answer = await access
    .call(`look up a credential of ${tenant}`, ({ client, as }) => client.write(path, { secret_id: secretId }, { ...as, attempts: 3 }))
    .catch((error: unknown) => {
      if (!(error instanceof PosternError && error.code === 'access_denied')) throw error;
      throw new PosternError('access_denied', error.message, {
        detail: 'It needs the policy postern-operator as of this version (terraform apply writes it). Whose id it is: postern who.',
      });
    });
  const accessor = answer?.data?.['secret_id_accessor'];
  return typeof accessor === 'string' ? storedOf(tenant, accessor, answer?.data ?? {}) : undefined;
}

function storedOf(tenant: string, accessor: string, data: Record<string, unknown>): StoredSecretId {
  return { view: viewOf(tenant, accessor, data), metadata: (data['metadata'] ?? {}) as Record<string, unknown> };
}

/** Every secret_id of a tenant, oldest first. @throws {PosternError} */
export async function listSecretIds(
  access: VaultAccess,
  tenant: string,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<SecretIdView[]> {
  return (await readSecretIds(access, tenant, options)).map(({ view }) => view);
}

/** The same with their metadata. */
export async function readSecretIds(
  access: VaultAccess,
  tenant: string,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<StoredSecretId[]> {
  const accessors = await listAccessors(access, tenant);
  let done = 0;
  const found = await inParallel(accessors, WIDTH, async (accessor) => {
    options.signal?.throwIfAborted();
    const name = `${tenant} ${accessor}`;
    const one = access.secretIds?.get(name) ?? (await readSecretId(access, tenant, accessor));
    // One that counts its logins is another after each.
    if (one !== undefined && one.view.uses_left === null) access.secretIds?.set(name, one);
    done += 1;
    options.onProgress?.(done, accessors.length);
    return one;
  });
  return found.filter((one) => one !== undefined).sort((a, b) => (a.view.created_at ?? '').localeCompare(b.view.created_at ?? ''));
}

/** @throws {PosternError} not_found */
export async function requireRole(access: VaultAccess, tenant: string): Promise<Record<string, unknown>> {
  const { approle } = access.mounts;
  const role = (await access.call(`read the role of ${tenant}`, ({ client, as }) => client.read(`auth/${approle}/role/${tenant}`, as)))
    ?.data;
  if (role) return role;
  throw new PosternError('not_found', `There is no tenant "${tenant}"`, {
    detail: 'See `postern tenant list`; make it with `postern tenant create` or Terraform.',
  });
}

function viewOf(tenant: string, accessor: string, data: Record<string, unknown>): SecretIdView {
  const metadata = (data['metadata'] ?? {}) as Record<string, unknown>;
  const uses = Number(data['secret_id_num_uses'] ?? 0);
  return {
    tenant,
    accessor,
    name: text(metadata['name']),
    issued_by: text(metadata['issued_by']),
    created_at: time(data['creation_time']),
    // Not `secret_id_ttl`, which shows what was asked for even where the mount's limit cut it short.
    expires_at: time(data['expiration_time']) ?? secondsToIso(metadata[EXPIRY_METADATA]),
    uses_left: uses > 0 ? uses : null,
    cidrs: Array.isArray(data['cidr_list']) ? data['cidr_list'].filter((c): c is string => typeof c === 'string') : [],
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** Go's zero time stands for none. */
function time(value: unknown): string | null {
  if (typeof value !== 'string' || value.startsWith('0001-')) return null;
  const at = Date.parse(value);
  return Number.isFinite(at) ? new Date(at).toISOString() : null;
}

function secondsToIso(value: unknown): string | null {
  const seconds = Number(value);
  return Number.isFinite(seconds) && seconds > 0 ? new Date(seconds * 1000).toISOString() : null;
}
