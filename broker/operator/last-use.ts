import { usageDocument, usagePath } from '#broker/vault/usage.ts';
import type { Used } from '#broker/vault/usage.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { BULK_WIDTH } from '#broker/operator/secret/secret-id.ts';

/** When keys or tenants were last used: ISO 8601, to the minute, by key id or tenant, as far as brokers have written it. */
export async function readLastUse(access: VaultAccess, of: Used, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const paths = [...new Set(names.map((name) => usagePath(of, name)))];
  const shards = await inParallel(paths, BULK_WIDTH, async (path) => {
    const { data } = await access.call('read when it was last used', ({ documents, as }) => documents.read(path, as));
    // What is not valid tells nothing; the next broker writes it anew.
    return usageDocument[of].safeParse(data).data?.used ?? {};
  });
  const wanted = new Set(names);
  return new Map(
    shards.flatMap((used) =>
      Object.entries(used).flatMap(([name, minute]) =>
        wanted.has(name) ? [[name, new Date(minute * 60_000).toISOString()] as const] : [],
      ),
    ),
  );
}
