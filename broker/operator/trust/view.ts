import { NAME } from '#broker/credential/identity.ts';
import type { Trust } from '#broker/credential/trust.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
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
  return found.flatMap((one, at) => (one === undefined ? [] : viewOf(names[at]!, one)));
}

/** @throws {PosternError} not_found, misconfigured */
export async function findTrust(access: VaultAccess, tenant: string, name: string): Promise<{ view: TrustView; trust: Trust }> {
  checkTenantId(tenant);
  checkTrustName(name);
  const clientId = await readRoleId(access, tenant);
  const document = await readTrust(access, clientId, name);
  if (document === undefined) throw noTrust(tenant, name);
  return { view: viewOf(name, document), trust: trustOf(clientId, name, document) };
}

export function noTrust(tenant: string, name: string): PosternError {
  return new PosternError('not_found', `${tenant} has no trust ${name}`, { detail: `See: postern trust list ${tenant}` });
}

export async function trustNames(access: VaultAccess, clientId: string): Promise<string[]> {
  const names = await access.call('list trusts', ({ documents, as }) => documents.list(`trusts/${clientId}`, as));
  return names.filter((name) => NAME.test(name)).sort();
}

/** @throws {PosternError} misconfigured */
export async function readTrust(access: VaultAccess, clientId: string, name: string): Promise<TrustDocument | undefined> {
  const { data } = await access.call('read a trust', ({ documents, as }) => documents.read(`trusts/${clientId}/${name}`, as));
  if (data === undefined) return undefined;
  // Checked as brokers do, so that what they would refuse isn't shown as good.
  trustOf(clientId, name, data);
  return trustDocument.parse(data);
}

export function viewOf(name: string, one: TrustDocument): TrustView {
  return {
    tenant: one.tenant,
    name,
    issuer: one.issuer,
    audience: one.audience,
    subject: one.subject ?? null,
    subject_pattern: one.subject_pattern ?? null,
    claims: one.claims ?? {},
    scopes: one.scopes ?? null,
    cidrs: one.cidrs ?? [],
    keys: one.keys ? 'pinned' : one.jwks_url ? 'jwks_url' : 'discovery',
  };
}
