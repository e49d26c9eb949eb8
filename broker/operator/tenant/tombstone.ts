import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';

/** `state/tombstones/<tenant>`: a name that was used, and until when something of its former tenant may be alive. */
const document = z.object({
  /** Seconds since 1970. */
  until: z.number(),
  client_ids: z.array(z.string()).default([]),
});

const pathOf = (tenant: string): string => `state/tombstones/${tenant}`;

/** @param until seconds since 1970 */
export async function writeTombstone(access: VaultAccess, tenant: string, until: number, clientIds: readonly string[]): Promise<void> {
  await access.call(`note that ${tenant} was deleted`, async ({ documents, as }) => {
    const { data, version } = await documents.read(pathOf(tenant), as);
    const before = document.safeParse(data).data;
    const after = { until: Math.max(until, before?.until ?? 0), client_ids: [...new Set([...(before?.client_ids ?? []), ...clientIds])] };
    await documents.write(pathOf(tenant), after, version, as);
  });
}

/** @returns seconds since 1970 until when the name is taken; undefined where it is free */
async function readTombstone(access: VaultAccess, tenant: string, nowMs: number): Promise<number | undefined> {
  const { data } = await access.call(`see whether ${tenant} was deleted lately`, ({ documents, as }) => documents.read(pathOf(tenant), as));
  const until = document.safeParse(data).data?.until;
  return until !== undefined && until * 1000 > nowMs ? until : undefined;
}

/** @throws {PosternError} conflict while something of the former tenant may be alive */
export async function requireFreeName(access: VaultAccess, tenant: string): Promise<void> {
  const until = await readTombstone(access, tenant, Date.now());
  if (until === undefined) return;
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
