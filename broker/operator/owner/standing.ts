import type { Directory } from '#broker/credential/directory.ts';
import type { Owner } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';

/** Why somebody may not have a key, or not one with these scopes. */
export interface Unfit {
  /** `left`: the organization, or never was in it · `permissions`: they have not all that the scopes need */
  why: 'deleted' | 'blocked' | 'left' | 'permissions' | 'unknown_organization';
  /** Scopes that they have no permission for. */
  lost: string[];
}

/** What the identity provider says to a key of this person. @returns undefined: nothing against it */
export async function unfitOwner(
  directory: Directory,
  { id, organization }: Pick<Owner, 'id' | 'organization'>,
  scopes: readonly string[],
): Promise<Unfit | undefined> {
  const standing = await directory.standingOf(id);
  if (standing !== 'active') return { why: standing, lost: [] };
  const members = await directory.membersOf(organization);
  if (members === undefined) return { why: 'unknown_organization', lost: [] };
  const roles = members.get(id);
  if (roles === undefined) return { why: 'left', lost: [] };
  const lost = await directory.lost(id, organization, roles, scopes);
  return lost.length === 0 ? undefined : { why: 'permissions', lost };
}

/** @throws {PosternError} invalid_scope, invalid_request */
export async function checkOwner(
  directory: Directory,
  owner: Pick<Owner, 'id' | 'organization'>,
  scopes: readonly string[],
): Promise<void> {
  const unfit = await unfitOwner(directory, owner, scopes);
  if (unfit === undefined) return;
  if (unfit.why === 'permissions')
    throw new PosternError('invalid_scope', `At Auth0 this person has no permission ${unfit.lost.join(', ')}`, {
      detail: 'A key is no wider than its owner: give them the permission first, or leave the scope out.',
    });
  throw new PosternError('invalid_request', WHY[unfit.why], {
    detail: `Looked up: ${owner.id} in ${owner.organization}. Is AUTH0_DOMAIN right?`,
  });
}

const WHY = {
  deleted: 'Auth0 knows no such person',
  blocked: 'This person is blocked at Auth0',
  left: "This person is not in the tenant's organization at Auth0",
  unknown_organization: "Auth0 doesn't know the tenant's organization",
} as const satisfies Record<Exclude<Unfit['why'], 'permissions'>, string>;
