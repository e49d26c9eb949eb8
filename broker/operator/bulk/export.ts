import type { VaultAccess } from '#broker/operator/access.ts';
import { listedOr } from '#broker/operator/listed.ts';
import { patiently } from '#broker/operator/patience.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { eachTenant, tenantIndex } from '#broker/operator/tenant/list.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import { listTrusts } from '#broker/operator/trust/view.ts';
import type { TrustView } from '#broker/operator/trust/view.ts';
import type { TenantRecord } from './columns.ts';

export interface Exported {
  readonly tenant: string;
  /** undefined: it is incomplete. */
  readonly record: TenantRecord | undefined;
}

/**
 * What tenants are, without what only holds where they are now (client_id, last use) and without any secret. Each as soon as it and those
 * before it are read: as many in memory as are being read.
 */
export async function* exportTenants(
  access: VaultAccess,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): AsyncGenerator<Exported, void, undefined> {
  const [index, having] = await Promise.all([tenantIndex(access), listedOr(access, 'trusts', undefined)]);
  // One list tells who has any.
  const withTrusts = having === undefined ? undefined : new Set(having);
  for await (const { view } of eachTenant(access, index, { ...options, lastUse: false })) {
    const { tenant, state, role_id: clientId } = view;
    if (state === 'incomplete') yield { tenant, record: undefined };
    else {
      const hasNone = clientId === null || withTrusts?.has(clientId) === false;
      const trusts = hasNone ? [] : await patiently(() => listTrusts(access, tenant));
      yield { tenant, record: recordOf(view, trusts) };
    }
  }
}

function recordOf(view: TenantView, trusts: readonly TrustView[]): TenantRecord {
  const { tenant, grants, default_api, introspects, publish, organization, cidrs, self_service, limits, quota } = view;
  const { token_ttl, secret_id_ttl, secret_id_num_uses } = view;
  return {
    tenant,
    grants,
    default_api,
    introspects,
    publish,
    organization,
    claims: view.claims as NonNullable<TenantRecord['claims']>,
    cidrs,
    token_ttl,
    secret_id_ttl,
    secret_id_num_uses,
    self_service,
    limits,
    quota,
    disabled: view.state === 'disabled',
    trusts: trusts
      .filter(({ managed_by: manager }) => manager === null)
      .map(({ name, issuer, audience, subject, subject_pattern, claims, scopes, cidrs: blocks }) => ({
        name,
        issuer,
        audience,
        subject,
        subject_pattern,
        claims,
        scopes,
        cidrs: blocks,
      })),
  };
}
