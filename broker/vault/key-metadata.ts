import { randomBytes } from 'node:crypto';
import { SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { KEY_ID, ORGANIZATION, OWNER } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import { parseLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';

export { KEY_ID } from '#broker/credential/owner.ts';

export function newKeyId(): string {
  return `key_${randomBytes(12).toString('hex')}`;
}

/** Names a secret_id that is not an API key. Not secret. */
const CREDENTIAL_ID = /^cred_[0-9a-f]{24}$/;
/** The metadata field that holds it. */
export const CREDENTIAL_ID_METADATA = 'credential_id';
/** The metadata field in which `postern secret issue` notes when a secret_id ends, in seconds since 1970. */
export const EXPIRY_METADATA = 'expires_at';
/** The one in which it notes for how many logins it is good, where it isn't for any number. */
export const USES_METADATA = 'num_uses';

export function newCredentialId(): string {
  return `cred_${randomBytes(12).toString('hex')}`;
}

/** The name by which the end of a secret_id is announced; undefined where it was issued past Postern. */
export function endingIdOf(metadata: Readonly<Record<string, unknown>>): string | undefined {
  const { [KEY_METADATA.keyId]: keyId, [CREDENTIAL_ID_METADATA]: credentialId } = metadata;
  if (typeof keyId === 'string' && KEY_ID.test(keyId)) return keyId;
  return typeof credentialId === 'string' && CREDENTIAL_ID.test(credentialId) ? credentialId : undefined;
}

/** Fields of a secret_id's metadata that make it an API key; `postern key issue` writes them and Vault hands them back at each login. */
export const KEY_METADATA = {
  keyId: 'key_id',
  environment: 'environment',
  /** Space-delimited, as in OAuth. Without it a key has all that its tenant has. */
  scopes: 'scopes',
  /** How often it may be used, as text: `100/s,600/min`. */
  limits: 'limits',
  /** The key that a rotation ends in favour of this one. */
  replaces: 'replaces',
  /** The Auth0 user whose key it is; such a key always has `scopes` and `organization`. */
  owner: 'owner',
  organization: 'organization',
  /** When the owner's access token by which it was made was issued, seconds since 1970. */
  sessionAt: 'session_at',
  /** The request that made it, where that may be repeated: by this a further attempt finds what an earlier one left. */
  request: 'request',
} as const;

/** Vault refuses a login (500) whose metadata has a longer value: they become metadata of the entity's alias. */
export const MAX_METADATA_VALUE = 512;

/**
 * What a login's metadata says of the credential. Several secret_ids of one AppRole share one entity alias, which shows the metadata of
 * whoever logged in last: only the answer to this very login may be asked.
 * @throws {PosternError} misconfigured where it is malformed: a limit that can't be read must not be taken for none
 */
export function apiKeyOf(
  metadata: Readonly<Record<string, unknown>>,
  tenant: string,
): Pick<Identity, 'keyId' | 'credentialId' | 'limit' | 'limits' | 'owner'> {
  const keyId = metadata[KEY_METADATA.keyId];
  const credentialId = metadata[CREDENTIAL_ID_METADATA];
  const scopes = metadata[KEY_METADATA.scopes];
  if (keyId !== undefined && !(typeof keyId === 'string' && KEY_ID.test(keyId))) throw malformed(tenant, KEY_METADATA.keyId);
  // One that can't be read is an unnamed one: it is refused rather more often than less.
  const limits = limitsIn(metadata[KEY_METADATA.limits], tenant);
  // It is counted by the key's id.
  if (limits !== undefined && keyId === undefined) throw malformed(tenant, KEY_METADATA.limits);
  const named = {
    keyId,
    ...(typeof credentialId === 'string' && CREDENTIAL_ID.test(credentialId) ? { credentialId } : {}),
    ...(limits === undefined ? {} : { limits }),
  };
  const owner = ownerOf(metadata, tenant);
  if (scopes === undefined && owner === undefined) return named;
  const list = typeof scopes === 'string' ? scopes.split(' ') : [];
  if (list.length === 0 || !list.every((scope) => SCOPE_TOKEN.test(scope))) throw malformed(tenant, KEY_METADATA.scopes);
  return { ...named, limit: { scopes: list }, ...(owner === undefined ? {} : { owner }) };
}

function limitsIn(text: unknown, tenant: string): Limits | undefined {
  if (text === undefined) return undefined;
  try {
    return parseLimits(typeof text === 'string' ? text : '');
  } catch {
    throw malformed(tenant, KEY_METADATA.limits);
  }
}

/** @throws {PosternError} misconfigured where a person's key must not be taken for the tenant's own, or for another person's */
export function ownerOf(metadata: Readonly<Record<string, unknown>>, tenant: string): Identity['owner'] {
  const { [KEY_METADATA.owner]: owner, [KEY_METADATA.organization]: organization, [KEY_METADATA.keyId]: keyId } = metadata;
  if (owner === undefined && organization === undefined) return undefined;
  if (!(typeof owner === 'string' && OWNER.test(owner)) || keyId === undefined) throw malformed(tenant, KEY_METADATA.owner);
  if (!(typeof organization === 'string' && ORGANIZATION.test(organization))) throw malformed(tenant, KEY_METADATA.organization);
  const since = Date.parse(String(metadata['issued_at']));
  if (!Number.isFinite(since)) throw malformed(tenant, 'issued_at');
  const session = metadata[KEY_METADATA.sessionAt];
  if (session !== undefined && !(typeof session === 'string' && /^[0-9]{1,12}$/.test(session)))
    throw malformed(tenant, KEY_METADATA.sessionAt);
  return { id: owner, organization, since: Math.min(Math.floor(since / 1000), session === undefined ? Infinity : Number(session)) };
}

function malformed(tenant: string, field: string): PosternError {
  return new PosternError('misconfigured', 'Client is not set up', {
    detail:
      `A secret_id of ${tenant} has a malformed "${field}" in its metadata: revoke it and issue another ` +
      `(\`postern key issue ${tenant}\`)`,
  });
}
