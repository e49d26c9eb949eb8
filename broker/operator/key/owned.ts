import { PosternError } from '#broker/error.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readSecretIds, requireRole } from '#broker/operator/secret/secret-id.ts';
import { issueAs } from './issue.ts';
import type { IssuedKey } from './issue.ts';
import { keyViewOf } from './list.ts';
import { longestLife } from './owned-by.ts';
import type { KeyView } from './list.ts';
import { revokeKeys } from './revoke.ts';
import { rotateKey } from './rotate.ts';
import type { RotatedKey } from './rotate.ts';
import { readRotations, renameKey } from './rotations.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { newKeyId } from '#broker/vault/key-metadata.ts';

/** Somebody who makes keys of their own, as their access token says. */
export interface Person {
  /** Auth0 user id. */
  readonly id: string;
  readonly organization: string;
  readonly tenant: string;
  /** Their permissions at the API that stands for self-service; a key has some of them. */
  readonly permissions: readonly string[];
  /** Whether they see and revoke what the others of their organization have. */
  readonly administrator: boolean;
  /** The tenant's document, whose `self_service` is there. */
  readonly grants: TenantGrants;
  /** Vault, as this person: it lets them reach the keys of their tenant and of no other. */
  readonly access: VaultAccess;
  /** When their access token was issued, seconds since 1970. */
  readonly since: number;
  /** Once more after the last wait. @throws where they are known to have left since their access token was issued */
  readonly checkHere: () => void;
}

export interface NewOwnedKey {
  readonly name: string;
  /** Default: all that this person may give. */
  readonly scopes?: readonly string[] | undefined;
  /** Seconds. Default: the longest that the tenant allows. */
  readonly ttl?: number | undefined;
  readonly cidrs?: readonly string[] | undefined;
  readonly limits?: Limits | null | undefined;
  readonly environment?: string | undefined;
  readonly request?: string | undefined;
}

/** What a tenant allows its people. @throws {PosternError} unauthorized_client where it allows nothing */
export function limitsOf({ self_service: limits, disabled }: TenantGrants): NonNullable<TenantGrants['self_service']> {
  if (disabled || !limits) throw new PosternError('unauthorized_client', "Your organization's people make no keys of their own here");
  return limits;
}

/** Scopes that this person's keys may have: their own permissions that the tenant is granted. Sorted. */
export function scopesOf({ permissions, grants }: Pick<Person, 'permissions' | 'grants'>): string[] {
  const granted = new Set(grants.grants.flatMap(({ scopes }) => scopes));
  return [...new Set(permissions)].filter((scope) => granted.has(scope)).sort();
}

/** Keys with an owner of this person's tenant: their own, or all where they administer the organization and want so. Oldest first. */
export async function listOwned(
  { access, tenant, id, organization, administrator }: Person,
  of: 'me' | 'organization',
): Promise<KeyView[]> {
  const [stored, { rotations, names }] = await Promise.all([readSecretIds(access, tenant), readRotations(access, tenant)]);
  const keys = stored.flatMap((one) => keyViewOf(one, rotations, Date.now(), names, access.hasEnded) ?? []);
  return keys.filter(
    (key) => key.owner !== null && key.organization === organization && (key.owner === id || (of === 'organization' && administrator)),
  );
}

/** @throws {PosternError} not_found for a key that isn't there, and for one that isn't theirs, in the same words */
export async function ownedKey(person: Person, keyId: string, of: 'me' | 'organization' = 'me'): Promise<KeyView> {
  const found = (await listOwned(person, of)).find((key) => key.key_id === keyId);
  if (found === undefined) throw new PosternError('not_found', 'You have no key of this id');
  return found;
}

/** @throws {PosternError} invalid_scope, invalid_request, conflict where there are as many as allowed */
export async function issueOwned(person: Person, wanted: NewOwnedKey): Promise<IssuedKey> {
  const { access, tenant, id, organization } = person;
  const scopes = checkedScopes(person, wanted.scopes ?? scopesOf(person));
  const longest = await longestLifeOf(person);
  const ttl = wanted.ttl ?? longest;
  if (ttl === 0 || ttl > longest)
    throw new PosternError('invalid_request', `A key of yours ends after ${longest} s at most: name a ttl of 60 to ${longest}`);
  await requireRoom(person, 1);
  const issued = await issueAs(access, newKeyId(), {
    tenant,
    owner: { id, organization, since: person.since },
    issuedBy: id,
    name: wanted.name,
    scopes,
    ttl,
    ...(wanted.cidrs === undefined ? {} : { cidrs: wanted.cidrs }),
    ...(wanted.limits === undefined ? {} : { limits: wanted.limits }),
    ...(wanted.environment === undefined ? {} : { environment: wanted.environment }),
    ...(wanted.request === undefined ? {} : { request: wanted.request }),
  });
  try {
    person.checkHere();
    // Another replica may have made one meanwhile: then neither stays, rather than one too many.
    await requireRoom(person, 0);
  } catch (error) {
    await revokeKeys(access, { tenant, keys: [issued.accessor ?? issued.key_id] });
    throw error;
  }
  return issued;
}

/** @param more keys that are to be made yet. @throws {PosternError} conflict where there would be more than allowed */
async function requireRoom(person: Person, more: 0 | 1): Promise<void> {
  const { keys, keys_per_user: each } = limitsOf(person.grants);
  const living = await livingKeys(person);
  if (living.length + more > keys)
    throw new PosternError('conflict', `Your organization's people have ${keys} keys, which is as many as they may have`);
  if (living.filter(({ owner }) => owner === person.id).length + more > each)
    throw new PosternError('conflict', `You have ${each} keys, which is as many as you may have: revoke one first`);
}

/** Everybody's of the organization, whoever asks. */
async function livingKeys(person: Person): Promise<KeyView[]> {
  const all = await listOwned({ ...person, administrator: true }, 'organization');
  return all.filter(({ state }) => state !== 'ended');
}

/** As many replaced keys may go on as there may be keys: else each rotation would leave one more. @throws {PosternError} conflict */
async function requireRoomForOverlap(person: Person): Promise<void> {
  const { keys, keys_per_user: each } = limitsOf(person.grants);
  const ending = (await livingKeys(person)).filter(({ state }) => state === 'ending');
  if (ending.length < keys && ending.filter(({ owner }) => owner === person.id).length < each) return;
  throw new PosternError('conflict', 'Too many replaced keys go on still: revoke one, or rotate without an overlap');
}

/** How long a key of this person may live, seconds. */
export async function longestLifeOf({ access, tenant, grants }: Person): Promise<number> {
  return longestLife(limitsOf(grants).max_ttl, await requireRole(access, tenant));
}

export async function renameOwned(person: Person, keyId: string, name: string): Promise<KeyView> {
  const key = await ownedKey(person, keyId);
  // Before the keys are listed: a name that somebody gives meanwhile is of a key that is there.
  const { names } = await readRotations(person.access, person.tenant);
  const there = new Set((await listOwned({ ...person, administrator: true }, 'organization')).map((one) => one.key_id));
  await renameKey(person.access, person.tenant, { keyId, name, gone: new Set(Object.keys(names)).difference(there) });
  return { ...key, name };
}

/** @throws {PosternError} invalid_scope where the owner lost a permission that the key has; whatever {@link rotateKey} throws */
export async function rotateOwned(
  person: Person,
  keyId: string,
  options: { overlap: number; deliver: (issued: RotatedKey) => Promise<void> },
): Promise<{ warnings: string[] }> {
  const key = await ownedKey(person, keyId);
  checkedScopes(person, key.scopes ?? []);
  if (options.overlap > 0) await requireRoomForOverlap(person);
  const longest = await longestLifeOf(person);
  return rotateKey(person.access, {
    tenant: person.tenant,
    key: keyId,
    issuedBy: person.id,
    ownerSince: person.since,
    longest,
    ...options,
    async deliver(issued) {
      person.checkHere();
      await options.deliver(issued);
    },
  });
}

/** @throws {PosternError} not_found */
export async function revokeOwned(person: Person, keyId: string): Promise<void> {
  const key = await ownedKey(person, keyId, 'organization');
  await revokeKeys(person.access, { tenant: person.tenant, keys: [key.accessor] });
}

function checkedScopes(person: Person, scopes: readonly string[]): readonly string[] {
  const may = scopesOf(person);
  if (may.length === 0)
    throw new PosternError('invalid_scope', "You have no permission that your organization's keys may have; its administrator gives them");
  const refused = scopes.filter((scope) => !may.includes(scope));
  if (refused.length > 0)
    throw new PosternError('invalid_scope', `You can't give a key ${refused.slice(0, 20).join(', ')}: you may not do it yourself`);
  return scopes;
}
