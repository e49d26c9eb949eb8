import { PosternError } from '#broker/error.ts';
import { rotationsDocument, rotationsPath } from '#broker/vault/key-ends.ts';
import type { Rotations, SecretReplacement } from '#broker/vault/key-ends.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { checkAndSet } from '#broker/operator/check-and-set.ts';

/** Most bytes that names may have together: brokers read them with each verification of a key. */
const MAX_NAMES = 65_536;

/** `keys/<tenant>` */
export interface TenantKeys {
  readonly rotations: Rotations;
  /** Key id -> its later name. */
  readonly names: Readonly<Record<string, string>>;
  readonly secrets: readonly SecretReplacement[];
}

/** The keys of a tenant that are being replaced. @throws {PosternError} misconfigured where the document is not valid */
export async function readRotations(access: VaultAccess, tenant: string): Promise<TenantKeys & { version: number }> {
  const path = rotationsPath(tenant);
  const { data, version } = await access.call(`read the rotations of ${tenant}`, ({ documents, as }) => documents.read(path, as));
  const parsed = rotationsDocument.safeParse(data ?? {});
  if (parsed.success) return { ...parsed.data, version };
  throw new PosternError('misconfigured', `${access.mounts.kv}/${path} in Vault is not valid`, {
    detail:
      `Brokers serve no API key of ${tenant} until it is. Restore an older version: vault kv rollback ` +
      `-mount=${access.mounts.kv} -version=${Math.max(1, version - 1)} ${path}`,
  });
}

/**
 * Changes them by check-and-set: of several at once each sees what the one before has written.
 * @param edit returns undefined where nothing is to be changed; what it throws passes
 * @throws {PosternError} conflict after 50 lost races
 */
export function changeRotations(access: VaultAccess, tenant: string, edit: (rotations: Rotations) => Rotations | undefined): Promise<void> {
  return changeTenantKeys(access, tenant, (before) => {
    const rotations = edit(before.rotations);
    return rotations === undefined ? undefined : { ...before, rotations };
  });
}

/** The same for all of the document. */
export async function changeTenantKeys(
  access: VaultAccess,
  tenant: string,
  edit: (before: TenantKeys) => TenantKeys | undefined,
): Promise<void> {
  await checkAndSet(access.clock, async () => {
    const { version, ...before } = await readRotations(access, tenant);
    const edited = edit(before);
    if (edited === undefined) return () => Promise.resolve();
    return async () =>
      void (await access.call(`note a rotation of ${tenant}`, ({ documents, as }) =>
        documents.write(rotationsPath(tenant), written(edited), version, as),
      ));
  });
}

/**
 * Gives a key another name, and forgets those of keys that are gone.
 * @param gone key ids whose keys are there no more
 * @throws {PosternError} conflict after 50 lost races, or where there are too many
 */
export async function renameKey(
  access: VaultAccess,
  tenant: string,
  rename: { readonly keyId: string; readonly name: string; readonly gone: ReadonlySet<string> },
): Promise<void> {
  await checkAndSet(access.clock, async () => {
    const { names, version, ...others } = await readRotations(access, tenant);
    const kept = Object.entries(names).filter(([keyId]) => !rename.gone.has(keyId));
    const renamed = { ...Object.fromEntries(kept), [rename.keyId]: rename.name };
    if (Buffer.byteLength(JSON.stringify(renamed)) > MAX_NAMES)
      throw new PosternError('conflict', 'Too many keys of this tenant have other names already: rotate or make one with the name wanted');
    const after = written({ ...others, names: renamed });
    return async () =>
      void (await access.call(`rename a key of ${tenant}`, ({ documents, as }) =>
        documents.write(rotationsPath(tenant), after, version, as),
      ));
  });
}

/** What is empty is left out, as brokers of before wrote it. */
function written({ rotations, names, secrets }: TenantKeys): Record<string, unknown> {
  return {
    rotations,
    ...(Object.keys(names).length === 0 ? {} : { names }),
    ...(secrets.length === 0 ? {} : { secrets }),
  };
}
