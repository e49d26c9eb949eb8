import { usageDocument, usagePath } from '#broker/vault/key-usage.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';

/** When keys were last used: minutes since 1970 by key id, as far as brokers have written it. */
export async function readLastUse(access: VaultAccess, keyIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const paths = [...new Set(keyIds.map(usagePath))];
  const shards = await inParallel(paths, WIDTH, async (path) => {
    const { data } = await access.call('read when keys were last used', ({ documents, as }) => documents.read(path, as));
    // What is not valid tells nothing; the next broker writes it anew.
    return usageDocument.safeParse(data).data?.used ?? {};
  });
  const wanted = new Set(keyIds);
  return new Map(shards.flatMap((used) => Object.entries(used).filter(([keyId]) => wanted.has(keyId))));
}
