import { readUpstreamMetadata } from '#broker/operator/upstream.ts';
import type { SourceView } from './source-checks.ts';
import type { View } from './view.ts';

/** What the token source of that name sees of Vault. */
export function sourceView(view: View, source: string): SourceView {
  const apis = async () => [...(await view.apis()).values()].flatMap((api) => (api?.source === source ? api : []));
  return {
    source,
    mounts: view.mounts,
    read: view.read,
    credential: () => readUpstreamMetadata(view.access),
    apis,
    async tenants() {
      const [tenants, own] = await Promise.all([view.tenants(), apis()]);
      return tenants.filter(({ grants }) => grants.some((grant) => own.some(({ name }) => name === grant.api)));
    },
  };
}
