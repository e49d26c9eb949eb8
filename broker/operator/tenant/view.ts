import { tenantDocument } from '#broker/authorization/documents.ts';
import type { Api, TenantGrants } from '#broker/authorization/documents.ts';
import type { Announcements } from '#broker/credential/announcements.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { canonicalQuota } from '#broker/quota/terms.ts';
import { canonicalLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';

/** A tenant as its document and the announcements have it: what one read tells. Fields as in Vault's own documents. */
export interface TenantSummary {
  tenant: string;
  /** `incomplete`: a role without a document or the reverse, so that nothing is issued to it. */
  state: 'active' | 'disabled' | 'incomplete';
  /** The customer's client_id; of a summary, the one that its document was written for. */
  role_id: string | null;
  grants: { api: string; scopes: string[] }[];
  default_api: string | null;
  /** APIs that it serves: it may introspect every tenant's tokens for them. */
  introspects: string[];
  /** APIs whose token brokers keep fresh in KV. */
  publish: string[];
  organization: string | null;
  /** Within what its people make keys of their own, seconds and numbers of keys; null: they don't. Terraform sets it. */
  self_service: { max_ttl: number; keys_per_user: number; keys: number } | null;
  /** How often it may ask for a token; null: as often as it likes. */
  limits: Limits | null;
  /** Its part of the tokens that Auth0 counts: so many a month, or a share of the application's; null: as many as it likes. */
  quota: { monthly: number } | { share: number } | null;
  claims: Record<string, unknown>;
  /** ISO 8601, to the minute, and known some minutes late (POSTERN_USAGE_INTERVAL). Null: not in the last 400 days. */
  last_used_at: string | null;
  /**
   * Worst case after anything is revoked: a token handed out just before still opens its API for so many seconds, where services verify by
   * key set alone.
   */
  lives_on: { api: string; seconds: number }[];
  /** What is not as it should be, in words. */
  problems: string[];
}

/** The same with what its AppRole role says. */
export interface TenantView extends TenantSummary {
  /** Seconds. */
  token_ttl: number;
  /** Seconds; 0: until revoked. */
  secret_id_ttl: number;
  /** 0: no limit. */
  secret_id_num_uses: number;
  cidrs: string[];
}

/** What is the same for every tenant that is looked at. */
export interface Around {
  readonly announcements: Announcements;
  readonly apis: ReadonlyMap<string, Api | undefined>;
  /** Last uses, by tenant. */
  readonly used: ReadonlyMap<string, string>;
}

export type Role = Record<string, unknown>;
/** Its role and its document. */
export interface Found {
  role: Role | undefined;
  /** As stored; undefined where there is none. */
  data: Record<string, unknown> | undefined;
  version: number;
}

/** @throws {PosternError} not_found */
export async function showTenant(access: VaultAccess, tenant: string): Promise<TenantView> {
  checkTenantId(tenant);
  const [found, announcements, apis, used] = await Promise.all([
    findTenant(access, tenant),
    readAnnouncements(access),
    readApis(access),
    readLastUse(access, 'tenant', [tenant]),
  ]);
  return viewOf(access, tenant, found, announcements, apis, used);
}

export async function findTenant(access: VaultAccess, tenant: string): Promise<Found> {
  const path = `auth/${access.mounts.approle}/role/${tenant}`;
  const [role, document] = await Promise.all([
    access.call(`read the role of ${tenant}`, ({ client, as }) => client.read(path, as)),
    access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as)),
  ]);
  return { role: role?.data ?? undefined, data: document.data, version: document.version };
}

export async function viewOf(
  access: VaultAccess,
  tenant: string,
  { role, data }: Pick<Found, 'role' | 'data'>,
  announcements: Announcements,
  apis: ReadonlyMap<string, Api | undefined>,
  used: ReadonlyMap<string, string>,
): Promise<TenantView> {
  if (role === undefined && data === undefined) {
    throw new PosternError('not_found', `There is no tenant "${tenant}"`, {
      detail: 'See `postern tenant list`; make it with `postern tenant create` or Terraform.',
    });
  }
  const roleId = role === undefined ? null : await readRoleId(access, tenant);
  return wholeOf(access, tenant, { role, data, roleId }, { announcements, apis, used });
}

/** Of one that is there. */
export function wholeOf(
  access: VaultAccess,
  tenant: string,
  { role, data, roleId }: { role: Role | undefined; data: Found['data']; roleId: string | null },
  around: Around,
): TenantView {
  const { problems, ...summary } = summaryOf(tenant, { hasRole: role !== undefined, data }, around);
  const { role_id: written } = summary;
  return {
    ...summary,
    role_id: roleId,
    token_ttl: numberOf(role?.['token_ttl']),
    secret_id_ttl: numberOf(role?.['secret_id_ttl']),
    secret_id_num_uses: numberOf(role?.['secret_id_num_uses']),
    cidrs: strings(role?.['secret_id_bound_cidrs']),
    problems: [
      ...problems,
      ...(role === undefined ? [] : roleProblems(access, role)),
      ...(roleId !== null && written !== null && written !== roleId
        ? [
            'its document was written for another client_id, so that its credentials are refused: `postern tenant ' +
              'create --update` writes this one',
          ]
        : []),
    ],
  };
}

export function summaryOf(
  tenant: string,
  { hasRole, data }: { hasRole: boolean; data: Found['data'] },
  { announcements, apis, used }: Around,
): TenantSummary {
  const parsed = tenantDocument.safeParse(data ?? {});
  const document: TenantGrants = parsed.success ? parsed.data : { grants: [], introspects: [], publish: [], claims: {}, disabled: false };
  const problems: string[] = [];
  if (!hasRole) problems.push('it has no AppRole role, so it cannot log in: run `postern tenant create` again to complete it');
  if (data === undefined)
    problems.push('it has no document, so nothing is granted to it: run `postern tenant create` again to complete it');
  if (hasRole && data !== undefined && parsed.success && !document.client_id)
    problems.push('its document names no client_id, as where its making was broken off: run `postern tenant create` again to complete it');
  if (typeof document.narrowing_since === 'number')
    problems.push(
      `grants were taken from it at ${new Date(document.narrowing_since * 1000).toISOString()}, and access tokens that hold them may be ` +
        'alive: if nobody is at it, that was broken off; repeat it, or change anything of the tenant, to end them',
    );
  if (!parsed.success) problems.push(`its document is not valid: ${documentFault(parsed.error)}`);
  const disabled = announcements.disabled.includes(tenant) || document.disabled;
  return {
    tenant,
    state: !hasRole || data === undefined || !parsed.success ? 'incomplete' : disabled ? 'disabled' : 'active',
    role_id: hasRole ? (document.client_id ?? null) : null,
    grants: document.grants,
    default_api: document.default_api ?? null,
    introspects: document.introspects,
    publish: document.publish,
    organization: document.organization ?? null,
    self_service: document.self_service ?? null,
    limits: canonicalLimits(document.limits),
    quota: canonicalQuota(document.quota),
    claims: document.claims,
    last_used_at: used.get(tenant) ?? null,
    lives_on: document.grants.flatMap(({ api }) => {
      const seconds = apis.get(api)?.lifetime;
      return seconds === undefined ? [] : { api, seconds };
    }),
    problems,
  };
}

function roleProblems(access: VaultAccess, role: Role): string[] {
  const problems: string[] = [];
  const policy = `${access.mounts.policyPrefix}tenant`;
  const policies = strings(role['token_policies']);
  if (role['token_type'] !== 'batch')
    problems.push(`its role gives ${String(role['token_type'])} tokens, which the broker refuses; it must be batch`);
  if (policies.length !== 1 || policies[0] !== policy)
    problems.push(`its role has the policies ${policies.join(', ') || 'none'}; it must be ${policy} alone`);
  if (role['bind_secret_id'] === false) problems.push('its role lets in whoever knows the role_id (bind_secret_id is off)');
  return problems;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
