import { tenantDocument } from '#broker/authorization/documents.ts';
import { ORGANIZATION, OWNER } from '#broker/credential/owner.ts';
import type { Owner } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { findTenant } from '#broker/operator/tenant/view.ts';
import type { Role } from '#broker/operator/tenant/view.ts';

/** Longest life of a person's key where its tenant sets none, seconds. */
const DEFAULT_MAX_TTL = 7_776_000;

/**
 * Whose key it will be, and until when, where an operator issues one to a person. What that person may do at Auth0 isn't known here.
 * @throws {PosternError} invalid_request, not_found
 */
export async function ownedBy(
  access: VaultAccess,
  { tenant, owner, scopes, ttl }: { tenant: string; owner: string; scopes?: readonly string[]; ttl?: number },
): Promise<{ owner: Pick<Owner, 'id' | 'organization'>; ttl: number }> {
  checkOwnerId(owner);
  if (scopes === undefined)
    throw new PosternError('invalid_request', "A key with an owner names its scopes: those of the owner's permissions that it may use");
  const { role, data } = await findTenant(access, tenant);
  const document = tenantDocument.safeParse(data);
  if (role === undefined || !document.success)
    throw new PosternError('not_found', `There is no tenant "${tenant}", or it is not complete`, { detail: 'See `postern tenant show`.' });
  const { organization, self_service: limits } = document.data;
  if (!organization || !ORGANIZATION.test(organization))
    throw new PosternError('invalid_request', `A key with an owner needs a tenant with an Auth0 organization, which ${tenant} has not`, {
      detail: 'Name it in Terraform, or by `postern tenant create --update --organization org_…`.',
    });
  const longest = longestLife(limits?.max_ttl ?? DEFAULT_MAX_TTL, role);
  const life = ttl ?? longest;
  if (life === 0 || life > longest)
    throw new PosternError('invalid_request', `A key with an owner has an end: of ${tenant} one after ${longest} s at most`);
  return { owner: { id: owner, organization }, ttl: life };
}

/** @throws {PosternError} invalid_request */
export function checkOwnerId(owner: string): void {
  if (OWNER.test(owner)) return;
  throw new PosternError('invalid_request', 'An owner is an Auth0 user id such as auth0|0123456789abcdef', {
    detail: 'An application can own no key: issue the tenant one without an owner.',
  });
}

/**
 * @param max what the tenant allows its people, seconds
 * @returns seconds: that, or what its role lets any secret_id live if that is less
 */
export function longestLife(max: number, role: Role): number {
  const limit = role['secret_id_ttl'];
  return typeof limit === 'number' && limit > 0 ? Math.min(max, limit) : max;
}
