import { z } from 'zod';
import { tenantDocument } from '#broker/authorization/documents.ts';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce, readAnnouncements } from '#broker/operator/announcement.ts';
import { announceEndings } from '#broker/operator/ending.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { rotationsPath } from '#broker/vault/key-ends.ts';
import { hasCachedTokens } from './cached-tokens.ts';
import { stopTenant } from './disable.ts';
import { deletePluginRole } from './plugin-role.ts';
import { removePublication } from './publication.ts';
import { removeRole } from './role.ts';
import { longestLife } from './revoke-tokens.ts';
import { writeTombstone } from './tombstone.ts';
import { eraseTrusts } from '#broker/operator/trust/remove.ts';
import { findTenant, showTenant } from './view.ts';

export interface Deletion {
  tenant: string;
  /** Cached tokens thrown away. */
  cached_tokens: number;
  /** Registered public keys removed. */
  registered_keys: number;
  /** ISO 8601: from when on the name may be used again without --force. */
  name_free_at: string;
  /** What may be left and is not an operator's to remove, in words. */
  left: string[];
  epoch: number;
}

/** By so much may a token end later than one issued now: brokers hear of it within 2 s, and clocks differ by 30. Seconds. */
const STILL_ISSUED = 32;
/** Most registered keys that are searched for those of one tenant; the one under its client_id is found anyway. */
const MOST_SEARCHED = 2_000;
const registration = z.object({ tenant: z.string() });

/**
 * Ends a tenant: it is disabled first, so that everything stops; its name is set aside until its longest token is over, with the client_ids
 * by which the rest is found; all that it held is announced as ended; then its trusts and registered keys go, its role and with it every
 * secret_id, its documents, the plugin's role and all cached tokens, and last its name leaves the list of disabled ones. Interrupted, the
 * same call goes on.
 * @throws {PosternError} not_found
 */
export async function deleteTenant(access: VaultAccess, tenant: string): Promise<Deletion> {
  checkTenantId(tenant);
  const withPlugin = await hasPlugin(access);
  const [{ disabled }, { role, data }] = await Promise.all([readAnnouncements(access), findTenant(access, tenant)]);
  // One whose deletion was interrupted, or that Terraform took out, may have no more than its name on the list, a cached token or rotation.
  const known =
    disabled.includes(tenant) ||
    role !== undefined ||
    data !== undefined ||
    (await access.call(`read the rotations of ${tenant}`, ({ documents, as }) => documents.read(rotationsPath(tenant), as))).data !==
      undefined ||
    (await hasCachedTokens(access, tenant, withPlugin));
  if (!known) await showTenant(access, tenant);
  const named = [
    role === undefined ? undefined : await readRoleId(access, tenant),
    tenantDocument.safeParse(data ?? {}).data?.client_id,
  ].filter((id) => typeof id === 'string');
  const lives = await longestLife(access);
  const { now } = await whoIs(access);
  const until = Math.ceil(now / 1000) + lives + STILL_ISSUED;
  await announce(access, tenant, 'disable');
  // Those too that a deletion which was interrupted noted, when role and document named them still.
  const clientIds = await writeTombstone(access, tenant, until, named);
  await announceEndings(access, now, [
    { kind: 'tokens', id: tenant, tenant, lives },
    ...clientIds.map((id) => ({ kind: 'credential' as const, id, tenant, lives })),
  ]);
  // While the tenant is still there: else its name could be used anew over what its former workloads log in by.
  for (const id of clientIds) await eraseTrusts(access, tenant, id);
  const { removed, unsearched } = await removeRegisteredKeys(access, tenant, clientIds);
  await removeRole(access, tenant);
  await access.call(`delete the document of ${tenant}`, ({ documents, as }) => documents.remove(`tenants/${tenant}`, as));
  await removePublication(access, tenant);
  await access.call(`delete the rotations of ${tenant}`, ({ documents, as }) => documents.remove(rotationsPath(tenant), as));
  if (withPlugin) await deletePluginRole(access, tenant);
  const cleared = await stopTenant(access, tenant);
  const { epoch } = await announce(access, tenant, 'enable');
  return {
    tenant,
    cached_tokens: cleared,
    registered_keys: removed,
    name_free_at: new Date(until * 1000).toISOString(),
    left: [
      'what Terraform made for it (workloads under identity/, its JWT auth mounts): take it out of the variable `tenants` and apply',
      'files into which an Agent rendered a token of it: they are on its own machines',
      ...(unsearched ? [`registered keys under other client_ids: more than ${MOST_SEARCHED} are registered, which were not searched`] : []),
    ],
    epoch,
  };
}

/** `assertions/<client_id>`, by the tenant that each names. */
async function removeRegisteredKeys(
  access: VaultAccess,
  tenant: string,
  clientIds: readonly string[],
): Promise<{ removed: number; unsearched: boolean }> {
  const all = (await access.call('list registered keys', ({ documents, as }) => documents.list('assertions', as))).filter((id) =>
    CLIENT_ID.test(id),
  );
  const unsearched = all.length > MOST_SEARCHED;
  const candidates = all.filter((id) => !unsearched || clientIds.includes(id));
  const removed = await inParallel(candidates, WIDTH, async (id) => {
    const { data } = await access.call('read a registered key', ({ documents, as }) => documents.read(`assertions/${id}`, as));
    if (registration.safeParse(data).data?.tenant !== tenant) return false;
    await access.call(`delete a registered key of ${tenant}`, ({ documents, as }) => documents.remove(`assertions/${id}`, as));
    return true;
  });
  return { removed: removed.filter(Boolean).length, unsearched };
}
