import { SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import { ApiKey, ENVIRONMENT } from '#broker/credential/api-key.ts';
import type { Directory } from '#broker/credential/directory.ts';
import type { Owner } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import { canonicalLimits, formatLimits, limitsDocument } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { KEY_METADATA, MAX_METADATA_VALUE, newKeyId } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { issueSecretId, readRoleId } from '#broker/operator/secret/issue.ts';
import type { Known } from '#broker/operator/secret/issue.ts';
import { ownedBy } from './owned-by.ts';
import { settleRotations } from './settle.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { checkOwner } from '#broker/operator/owner/standing.ts';
import { checkGranted } from '#broker/operator/tenant/granted.ts';

export interface IssueKeyOptions {
  tenant: string;
  /** For people: what this key is for. */
  name?: string;
  /** Seconds until it ends; 0: until revoked. Default: the role's. */
  ttl?: number;
  /** Where it may be used from. Default: the role's. */
  cidrs?: readonly string[];
  /** What it is narrowed to, within the tenant's grants. Default: all that the tenant has, now and later. */
  scopes?: readonly string[];
  /** How often it may be used, within what its tenant may. Default: as often as that. */
  limits?: Limits | null;
  /** For people and secret scanners; Vault does not know it. Default `live`. */
  environment?: string;
  /** Auth0 user id of the person whose key it is; such a key has scopes and an end. Default: the tenant's own. */
  owner?: string;
  /** Asked whether the owner may have such a key. Default: nobody is. */
  directory?: Directory;
  /** Names the request that may be repeated: see {@link revokeStrays}. */
  request?: string;
}

/** Issues it whatever the tenant has: whoever calls has looked. */
export interface IssueAsOptions extends Omit<IssueKeyOptions, 'owner' | 'directory'> {
  /** The person whose key it is, and the organization in which they ask for it. */
  owner?: KeyOwner;
  /** Who issues it, where that isn't who the Vault token says. */
  issuedBy?: string;
  /** The key that it takes the place of. */
  replaces?: string;
}

/** @see Owner */
export type KeyOwner = Pick<Owner, 'id' | 'organization'> & Partial<Pick<Owner, 'since'>>;

export interface IssuedKey {
  tenant: string;
  /** The key itself: shown once, kept nowhere. */
  key: string;
  key_id: string;
  accessor: string | null;
  name: string | null;
  environment: string;
  /** Auth0 user id; null: the tenant's own key. */
  owner: string | null;
  scopes: string[] | null;
  /** How often it may be used; null: as often as its tenant. */
  limits: Limits | null;
  cidrs: string[];
  issued_by: string;
  /** ISO 8601; null: until revoked. */
  expires_at: string | null;
  /** What the operator should know. */
  warnings: string[];
}

export const DEFAULT_ENVIRONMENT = 'live';

/**
 * Issues one more API key of a tenant. It is made here from the secret_id, so it can't come response-wrapped.
 * @throws {PosternError} not_found, invalid_request; access_denied; temporarily_unavailable
 */
export async function issueKey(access: VaultAccess, options: IssueKeyOptions): Promise<IssuedKey> {
  const { tenant, scopes, owner, directory, ...rest } = options;
  checkTenantId(tenant);
  const owned = owner === undefined ? undefined : await ownedBy(access, { ...options, owner });
  if (owned !== undefined && directory !== undefined) await checkOwner(directory, owned.owner, scopes ?? []);
  if (scopes !== undefined) await checkScopes(access, tenant, scopes);
  // Keys whose end has come go by the way; what fails here is left to the next run.
  await settleRotations(access, tenant).catch(() => {});
  return issueAs(access, newKeyId(), { ...rest, tenant, ...(scopes === undefined ? {} : { scopes }), ...owned });
}

/** Issues it under a key id that was noted before, in place of another. The scopes are not compared with the tenant's grants. */
export async function issueAs(access: VaultAccess, keyId: string, options: IssueAsOptions, known?: Known): Promise<IssuedKey> {
  const { tenant, environment = DEFAULT_ENVIRONMENT, replaces } = options;
  if (!ENVIRONMENT.test(environment)) throw new PosternError('invalid_request', 'An environment is 1 to 16 characters of a-z and 0-9');
  const scopes = options.scopes === undefined ? undefined : [...new Set(options.scopes)].sort();
  const limits = checkedLimits(options.limits);
  // Before anything is issued: what does not fit into a key is told, and leaves nothing behind.
  ApiKey.format(environment, known?.roleId ?? (await readRoleId(access, tenant)), NOBODY);
  const issued = await issueSecretId(
    access,
    {
      tenant,
      wrap: false,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.issuedBy === undefined ? {} : { issuedBy: options.issuedBy }),
      ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
      ...(options.cidrs === undefined ? {} : { cidrs: options.cidrs }),
      metadata: {
        [KEY_METADATA.keyId]: keyId,
        [KEY_METADATA.environment]: environment,
        ...(scopes === undefined ? {} : { [KEY_METADATA.scopes]: scopes.join(' ') }),
        ...(limits === null ? {} : { [KEY_METADATA.limits]: formatLimits(limits) }),
        ...(replaces === undefined ? {} : { [KEY_METADATA.replaces]: replaces }),
        ...(options.request === undefined ? {} : { [KEY_METADATA.request]: options.request }),
        ...(options.owner === undefined ? {} : ownerMetadata(options.owner)),
      },
    },
    known,
  );
  return {
    tenant,
    key: ApiKey.format(environment, issued.role_id, issued.secret_id ?? ''),
    key_id: keyId,
    accessor: issued.accessor,
    name: issued.name,
    environment,
    owner: options.owner?.id ?? null,
    scopes: scopes ?? null,
    limits,
    cidrs: issued.cidrs,
    issued_by: issued.issued_by,
    expires_at: issued.expires_at,
    warnings: issued.warnings,
  };
}

function checkedLimits(given: Limits | null | undefined): Limits | null {
  const parsed = limitsDocument.nullish().safeParse(given);
  if (parsed.success) return canonicalLimits(parsed.data);
  const faults = parsed.error.issues.map(({ path, message }) => [...path.map(String), message].join(' '));
  throw new PosternError('invalid_request', `The key's limits: ${faults.join('; ')}`);
}

function ownerMetadata({ id, organization, since }: KeyOwner): Record<string, string> {
  const session = since === undefined ? {} : { [KEY_METADATA.sessionAt]: String(since) };
  return { [KEY_METADATA.owner]: id, [KEY_METADATA.organization]: organization, ...session };
}

/** Stands for a secret_id where only the rest is tried. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/** A limit that names nothing of the tenant's would be a key that is good for nothing, found out by the customer. */
async function checkScopes(access: VaultAccess, tenant: string, scopes: readonly string[]): Promise<void> {
  if (scopes.length === 0)
    throw new PosternError('invalid_request', 'A key is narrowed to one scope at least', {
      detail: 'Name no scope for a key that has all that its tenant has.',
    });
  const malformed = scopes.filter((scope) => !SCOPE_TOKEN.test(scope));
  if (malformed.length > 0)
    throw new PosternError('invalid_request', `${JSON.stringify(malformed[0]?.slice(0, 60))} is not an OAuth scope`, {
      detail: 'Name each scope by an option of its own.',
    });
  if (Buffer.byteLength([...new Set(scopes)].join(' ')) > MAX_METADATA_VALUE) {
    throw new PosternError(
      'invalid_request',
      `These scopes are longer than ${MAX_METADATA_VALUE} characters together, which is what Vault keeps with a login`,
      {
        detail: 'Make a tenant that is granted just these, and issue its key without naming scopes.',
      },
    );
  }
  await checkGranted(access, tenant, scopes, 'its key');
}
