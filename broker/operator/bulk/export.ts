import type { VaultAccess } from '#broker/operator/access.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { listTenants } from '#broker/operator/tenant/list.ts';
import { listTrusts } from '#broker/operator/trust/view.ts';
import type { TenantRecord } from './columns.ts';

/** What tenants are, without what only holds where they are now (client_id, last use) and without any secret. */
export async function exportTenants(
  access: VaultAccess,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<{ records: TenantRecord[]; incomplete: string[] }> {
  const tenants = await listTenants(access, options);
  const whole = tenants.filter(({ state }) => state !== 'incomplete');
  const records = await inParallel(whole, WIDTH, async (one): Promise<TenantRecord> => {
    options.signal?.throwIfAborted();
    const { tenant, grants, default_api, introspects, organization, cidrs, token_ttl, secret_id_ttl, secret_id_num_uses, self_service } =
      one;
    const trusts = (await listTrusts(access, tenant)).filter(({ managed_by }) => managed_by === null);
    return {
      tenant,
      grants,
      default_api,
      introspects,
      publish: one.publish,
      organization,
      claims: one.claims as NonNullable<TenantRecord['claims']>,
      cidrs,
      token_ttl,
      secret_id_ttl,
      secret_id_num_uses,
      self_service,
      limits: one.limits,
      quota: one.quota,
      disabled: one.state === 'disabled',
      trusts: trusts.map(({ name, issuer, audience, subject, subject_pattern, claims, scopes, cidrs: blocks }) => ({
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
  });
  return { records, incomplete: tenants.filter(({ state }) => state === 'incomplete').map(({ tenant }) => tenant) };
}
