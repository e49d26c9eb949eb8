import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { listTenants } from '#broker/operator/tenant/tenant.ts';
import { readUpstreamMetadata } from '#broker/operator/upstream.ts';
import type { SourceView } from './source-checks.ts';

/** An operator's access to Vault as the source of that name sees it. */
export function sourceView(access: VaultAccess, source: string): SourceView {
  const apis = async () => [...(await readApis(access)).values()].filter((api) => api?.source === source).flatMap((api) => api ?? []);
  return {
    source,
    mounts: access.mounts,
    read: async (doing, path) => (await access.call(doing, ({ client, as }) => client.read(path, as)))?.data ?? undefined,
    credential: () => readUpstreamMetadata(access),
    apis,
    async tenants() {
      const [tenants, own] = await Promise.all([listTenants(access), apis()]);
      return tenants.filter(({ grants }) => grants.some((grant) => own.some(({ name }) => name === grant.api)));
    },
  };
}
