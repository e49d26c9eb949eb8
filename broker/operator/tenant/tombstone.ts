import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';

/** `state/tombstones/<tenant>`: a name that was used, and until when something of its former tenant may be alive. */
const document = z.object({
  /** Seconds since 1970. */
  until: z.number(),
  client_ids: z.array(z.string()).default([]),
});

const pathOf = (tenant: string): string => `state/tombstones/${tenant}`;

/** @param until seconds since 1970. @returns every client_id that a tenant of this name had, with those given */
export async function writeTombstone(access: VaultAccess, tenant: string, until: number, clientIds: readonly string[]): Promise<string[]> {
  return access.call(`note that ${tenant} was deleted`, async ({ documents, as }) => {
    const { data, version } = await documents.read(pathOf(tenant), as);
    const before = document.safeParse(data).data;
    const after = { until: Math.max(until, before?.until ?? 0), client_ids: [...new Set([...(before?.client_ids ?? []), ...clientIds])] };
    await documents.write(pathOf(tenant), after, version, as);
    return after.client_ids;
  });
}

/**
 * @param force use it though something of the former tenant may be alive
 * @throws {PosternError} conflict while something of the former tenant may be alive, or is not deleted yet
 */
export async function requireFreeName(access: VaultAccess, tenant: string, force: boolean): Promise<void> {
  const { data } = await access.call(`see whether ${tenant} was deleted lately`, ({ documents, as }) => documents.read(pathOf(tenant), as));
  const until = document.safeParse(data).data?.until;
  if (until === undefined) return;
  // A deletion lets the name go last of all. The next tenant would be given what it has not come to: the publication, tokens in the cache.
  if ((await readAnnouncements(access)).disabled.includes(tenant))
    throw new PosternError('conflict', `The deletion of the tenant "${tenant}" was broken off`, {
      detail: `Nothing was changed. End it first: postern tenant delete ${tenant}`,
    });
  if (force || until * 1000 <= Date.now()) return;
  throw new PosternError(
    'conflict',
    `A tenant "${tenant}" was deleted, and tokens of it may live until ${new Date(until * 1000).toISOString()}`,
    {
      detail:
        'Take another name, or wait. --force uses it now: a service that verifies by key set alone then takes ' +
        'a token of the former tenant for one of the new tenant.',
    },
  );
}

/** Every name that was deleted once, whether or not it is free by now. */
export function tombstoneNames(access: VaultAccess): Promise<string[]> {
  return access.call('list deleted tenants', ({ documents, as }) => documents.list('state/tombstones', as));
}

/** Every name that was deleted, with the client_ids that it had. */
export async function listTombstones(access: VaultAccess): Promise<{ tenant: string; client_ids: string[] }[]> {
  const names = await tombstoneNames(access);
  return inParallel(names, WIDTH, async (tenant) => {
    const { data } = await access.call('read a deleted tenant', ({ documents, as }) => documents.read(pathOf(tenant), as));
    return { tenant, client_ids: document.safeParse(data).data?.client_ids ?? [] };
  });
}
