import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { KvDocument } from '#broker/vault/kv.ts';
import { trustDocument, trustOf } from '#broker/vault/trusts.ts';
import type { TrustDocument } from '#broker/vault/trusts.ts';

/** A trust as people and the admin API see it. */
export interface TrustView {
  tenant: string;
  name: string;
  issuer: string;
  audience: string;
  subject: string | null;
  subject_pattern: string | null;
  claims: Record<string, string>;
  /** null: all that the tenant is granted. */
  scopes: string[] | null;
  cidrs: string[];
  /** Where the issuer's keys come from. */
  keys: 'discovery' | 'jwks_url' | 'pinned';
  /** `terraform`: its next apply writes it anew. Null: an operator's. */
  managed_by: string | null;
  /** What makes brokers refuse it, in words. */
  problem: string | null;
}

/** @throws {PosternError} invalid_request; the name becomes a part of Vault paths, so this comes before any call */
export function checkTrustName(name: string): void {
  if (!NAME.test(name))
    throw new PosternError('invalid_request', `${JSON.stringify(name.slice(0, 80))} can't be a trust's name`, {
      detail: 'It is 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends.',
    });
}

/** All trusts of a tenant, by name. @throws {PosternError} not_found where there is no such tenant; misconfigured */
export async function listTrusts(access: VaultAccess, tenant: string): Promise<TrustView[]> {
  checkTenantId(tenant);
  const clientId = await readRoleId(access, tenant);
  const names = await trustNames(access, clientId);
  const found = await inParallel(names, WIDTH, (name) => readTrust(access, clientId, name));
  return found.flatMap(({ data }, at) => (data === undefined ? [] : viewOf(tenant, clientId, names[at]!, data)));
}

/** @throws {PosternError} not_found, misconfigured */
export async function showTrust(access: VaultAccess, tenant: string, name: string): Promise<TrustView> {
  const { clientId, data } = await findTrust(access, tenant, name);
  return viewOf(tenant, clientId, name, data);
}

/** As stored. @throws {PosternError} not_found */
export async function findTrust(
  access: VaultAccess,
  tenant: string,
  name: string,
): Promise<{ clientId: string; data: Record<string, unknown> }> {
  checkTenantId(tenant);
  checkTrustName(name);
  const clientId = await readRoleId(access, tenant);
  const { data } = await readTrust(access, clientId, name);
  if (data === undefined) throw noTrust(tenant, name);
  return { clientId, data };
}

export function noTrust(tenant: string, name: string): PosternError {
  return new PosternError('not_found', `${tenant} has no trust ${name}`, { detail: `See: postern trust list ${tenant}` });
}

export async function trustNames(access: VaultAccess, clientId: string): Promise<string[]> {
  const names = await access.call('list trusts', ({ documents, as }) => documents.list(`trusts/${clientId}`, as));
  return names.filter((name) => NAME.test(name)).sort();
}

export function readTrust(access: VaultAccess, clientId: string, name: string): Promise<KvDocument> {
  return access.call('read a trust', ({ documents, as }) => documents.read(`trusts/${clientId}/${name}`, as));
}

/** One that is not valid is shown as far as it can be read. */
export function viewOf(tenant: string, clientId: string, name: string, data: Record<string, unknown>): TrustView {
  const parsed = trustDocument.safeParse(data);
  const one: Partial<TrustDocument> = parsed.success ? parsed.data : {};
  return {
    tenant,
    name,
    issuer: one.issuer ?? textOf(data['issuer']),
    audience: one.audience ?? textOf(data['audience']),
    subject: one.subject ?? null,
    subject_pattern: one.subject_pattern ?? null,
    claims: one.claims ?? {},
    scopes: one.scopes ?? null,
    cidrs: one.cidrs ?? [],
    keys: one.keys ? 'pinned' : one.jwks_url ? 'jwks_url' : 'discovery',
    managed_by: one.managed_by ?? null,
    problem: problemOf(tenant, clientId, name, data),
  };
}

/** Checked as brokers do. */
function problemOf(tenant: string, clientId: string, name: string, data: unknown): string | null {
  try {
    const trust = trustOf(clientId, name, data);
    return trust.tenant === tenant ? null : `it names another tenant, ${trust.tenant}`;
  } catch (error) {
    return error instanceof PosternError ? (error.detail ?? error.message) : null;
  }
}

/** Shortened: it may be anything. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 1024) : '';
}
