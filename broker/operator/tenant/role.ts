import type { VaultAccess } from '#broker/operator/access.ts';
import { canonicalCidrs } from '#broker/operator/name.ts';
import { listAccessors } from '#broker/operator/secret/secret-id.ts';
import type { TenantSpecification } from './specification.ts';
import type { Found, Role } from './view.ts';

/**
 * Whether the role may be one whose making was broken off: Vault then has it without the way from its client_id to it, nobody can log in,
 * and no second write mends that. Its document doesn't name a client_id yet, and nothing was issued to it.
 */
export async function isUnmade(access: VaultAccess, tenant: string, { role, data }: Found): Promise<boolean> {
  if (role === undefined || data === undefined || typeof data['client_id'] === 'string') return false;
  return (await listAccessors(access, tenant)).length === 0;
}

/** Writes what the specification names; the rest of one that is there stays. */
export async function writeRole(access: VaultAccess, tenant: string, spec: TenantSpecification, before: Role | undefined): Promise<void> {
  const { approle, policyPrefix } = access.mounts;
  const ttl = spec.tokenTtl ?? (before === undefined ? 300 : undefined);
  await access.call(`write the role of ${tenant}`, ({ client, as }) =>
    client.write(
      `auth/${approle}/role/${tenant}`,
      {
        // No lease is stored for a batch token, however often a tenant logs in.
        token_type: 'batch',
        // Not a list: OpenBao compares a list as a whole with what the operators' policy allows, and refuses it.
        token_policies: `${policyPrefix}tenant`,
        token_no_default_policy: true,
        bind_secret_id: true,
        // As text: a policy compares no numbers.
        ...(ttl === undefined ? {} : { token_ttl: String(ttl), token_max_ttl: String(ttl) }),
        ...(spec.secretIdTtl === undefined ? {} : { secret_id_ttl: spec.secretIdTtl }),
        ...(spec.secretIdNumUses === undefined ? {} : { secret_id_num_uses: spec.secretIdNumUses }),
        ...(spec.cidrs === undefined ? {} : { secret_id_bound_cidrs: canonicalCidrs(spec.cidrs) }),
      },
      as,
    ),
  );
}

/** With it goes every secret_id. */
export async function removeRole(access: VaultAccess, tenant: string): Promise<void> {
  const { approle } = access.mounts;
  await access.call(`delete the role of ${tenant}`, ({ client, as }) => client.delete(`auth/${approle}/role/${tenant}`, as));
}
