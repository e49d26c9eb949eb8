import { isDeepStrictEqual } from 'node:util';
import { tenantDocument } from '#broker/authorization/documents.ts';
import { canonicalCidrs } from '#broker/operator/name.ts';
import { canonicalQuota } from '#broker/quota/terms.ts';
import { canonicalLimits } from '#broker/rate-limit/limits.ts';
import type { Found } from '#broker/operator/tenant/view.ts';
import type { TenantRecord } from './columns.ts';
import type { Row } from './row.ts';

/** Names of the columns in which a tenant is not as the row says; what the row leaves out is as it should be. */
export function differences({ spec }: Row, { role, data }: Found): string[] {
  const parsed = tenantDocument.safeParse(data ?? {});
  if (!parsed.success) return ['its document'];
  const now = parsed.data;
  const number = (name: string): number => (typeof role?.[name] === 'number' ? role[name] : 0);
  const blocks = role?.['secret_id_bound_cidrs'];
  const pairs: [string, unknown, unknown][] = [
    ['grants', spec.grants && grantsOf(spec.grants), grantsOf(now.grants)],
    ['default_api', spec.defaultApi, now.default_api ?? null],
    ['introspects', spec.introspects && sorted(spec.introspects), sorted(now.introspects)],
    ['publish', spec.publish && sorted(spec.publish), sorted(now.publish)],
    ['organization', spec.organization, now.organization ?? null],
    ['claims', spec.claims, now.claims],
    ['cidrs', spec.cidrs && sorted(canonicalCidrs(spec.cidrs)), sorted(Array.isArray(blocks) ? blocks.map(String) : [])],
    ['token_ttl', spec.tokenTtl, number('token_ttl')],
    ['secret_id_ttl', spec.secretIdTtl, number('secret_id_ttl')],
    ['secret_id_num_uses', spec.secretIdNumUses, number('secret_id_num_uses')],
    ['limits', spec.limits === undefined ? undefined : canonicalLimits(spec.limits), canonicalLimits(now.limits)],
    ['quota', spec.quota === undefined ? undefined : canonicalQuota(spec.quota), canonicalQuota(now.quota)],
    ['self_service', spec.selfService, now.self_service ?? null],
  ];
  return pairs.filter(([, wanted, is]) => wanted !== undefined && !isDeepStrictEqual(wanted, is)).map(([name]) => name);
}

function grantsOf(grants: readonly { readonly api: string; readonly scopes: readonly string[] }[]): object {
  return Object.fromEntries(grants.map(({ api, scopes }) => [api, sorted(scopes)]).sort());
}

const sorted = (list: readonly string[]): string[] => [...new Set(list)].sort();

/** Equal for equal trusts. */
export function trustKey(trust: NonNullable<TenantRecord['trusts']>[number]): string {
  const { issuer, audience, subject, subject_pattern, claims = {}, scopes, cidrs } = trust;
  const blocks = cidrs === undefined || cidrs.length === 0 ? [] : sorted(canonicalCidrs(cidrs));
  return JSON.stringify([
    issuer,
    audience,
    subject ?? null,
    subject_pattern ?? null,
    Object.entries(claims).sort(),
    scopes ? sorted(scopes) : null,
    blocks,
  ]);
}
