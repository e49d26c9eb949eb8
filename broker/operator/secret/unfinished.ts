import type { Ending } from '#broker/credential/endings.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { isUnsettled, settleEndings } from '#broker/operator/ending.ts';
import { readEndingsAt } from '#broker/operator/endings.ts';
import { DEPARTURES_PATH, ENDINGS_PATH } from '#broker/vault/endings.ts';
import { endingIdOf } from '#broker/vault/key-metadata.ts';
import { revokeSecretId } from './revoke.ts';
import { readSecretIds } from './secret-id.ts';
import type { StoredSecretId } from './secret-id.ts';

/**
 * Destroys credentials whose end was announced, and whose destruction failed then. Harmless at any time.
 * @param only one tenant's; default: everybody's
 * @returns ids (`key_…`, `cred_…`) of those destroyed now
 * @throws {PosternError}
 */
export async function finishRevocations(access: VaultAccess, only?: string): Promise<{ tenant: string; id: string; accessor: string }[]> {
  const finished: { tenant: string; id: string; accessor: string }[] = [];
  for (const path of [ENDINGS_PATH, DEPARTURES_PATH]) {
    const left = (await readEndingsAt(access, path)).filter((one) => isUnsettled(one) && (only === undefined || one.tenant === only));
    for (const [tenant, endings] of Map.groupBy(left, (one: Ending) => one.tenant)) {
      const ids = new Set(endings.map(({ id }) => id));
      const there = (await secretIdsOf(access, tenant)).filter(({ metadata }) => ids.has(endingIdOf(metadata) ?? ''));
      if (there.length > 0) await revokeSecretId(access, { tenant, accessors: there.map(({ view }) => view.accessor) });
      await settleEndings(access, [...ids], path);
      finished.push(...there.map(({ view, metadata }) => ({ tenant, id: endingIdOf(metadata) ?? '', accessor: view.accessor })));
    }
  }
  return finished;
}

/** Of a tenant that is deleted, none. */
async function secretIdsOf(access: VaultAccess, tenant: string): Promise<StoredSecretId[]> {
  return readSecretIds(access, tenant).catch((error: unknown) => {
    if (error instanceof PosternError && error.code === 'not_found') return [];
    throw error;
  });
}
