import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';

/**
 * Throws a tenant's cached tokens away: those that brokers share, in KV or in the secrets plugin, and the plugin's own. Never a token is
 * read. A
 * broker that was just writing one finds its place changed, and writes nothing.
 * @returns how many places were cleared
 */
export async function clearCachedTokens(access: VaultAccess, tenant: string, withPlugin: boolean): Promise<number> {
  const doing = `cached tokens of ${tenant}`;
  const { plugin } = access.mounts;
  const inKv = await kvPaths(access, tenant);
  const inPlugin = withPlugin ? await access.call(`list ${doing}`, ({ client, as }) => client.list(`${plugin}/tokens/${tenant}`, as)) : [];
  await inParallel(inKv, WIDTH, (path) => access.call(`delete ${doing}`, ({ tokens, as }) => tokens.remove(path, as)));
  // Those of all APIs and scopes go at once.
  if (inPlugin.length > 0) await access.call(`delete ${doing}`, ({ client, as }) => client.delete(`${plugin}/tokens/${tenant}`, as));
  if (withPlugin) await access.call(`delete ${doing}`, ({ client, as }) => client.write(`${plugin}/revoke/${tenant}`, {}, as));
  return inKv.length + (inPlugin.length > 0 ? 1 : 0);
}

/** Whether any is left of it: a deletion that was interrupted may have left nothing else. */
export async function hasCachedTokens(access: VaultAccess, tenant: string, withPlugin: boolean): Promise<boolean> {
  if ((await kvPaths(access, tenant)).length > 0) return true;
  const { plugin } = access.mounts;
  const doing = `list cached tokens of ${tenant}`;
  return withPlugin && (await access.call(doing, ({ client, as }) => client.list(`${plugin}/tokens/${tenant}`, as))).length > 0;
}

/** Within this time every broker has read an announcement, or serves nobody; ms. */
const ANNOUNCED_WITHIN = 2_000;

/**
 * After an announcement: a broker may still store a token that it was fetching before it read that. @returns how many places were cleared
 */
export async function clearCachedTokensTwice(access: VaultAccess, tenant: string, withPlugin: boolean): Promise<number> {
  const cleared = await clearCachedTokens(access, tenant, withPlugin);
  await access.clock.sleep(ANNOUNCED_WITHIN);
  return cleared + (await clearCachedTokens(access, tenant, withPlugin));
}

/** `<tenant>/<api>` and `<tenant>/<api>/<digest>`. */
export async function kvPaths(access: VaultAccess, tenant: string): Promise<string[]> {
  const list = (path: string): Promise<string[]> =>
    access.call(`list cached tokens of ${tenant}`, ({ tokens, as }) => tokens.list(path, as));
  const entries = await list(tenant);
  const folders = entries.filter((entry) => entry.endsWith('/')).map((entry) => entry.slice(0, -1));
  const deeper = await inParallel(folders, WIDTH, async (folder) =>
    (await list(`${tenant}/${folder}`)).map((digest) => `${folder}/${digest}`),
  );
  return [...entries.filter((entry) => !entry.endsWith('/')), ...deeper.flat()].map((entry) => `${tenant}/${entry}`);
}
