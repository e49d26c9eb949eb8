import { PosternError } from '#broker/error.ts';
import { CREDENTIAL_ID_METADATA, EXPIRY_METADATA, USES_METADATA, endingIdOf, newCredentialId } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { canonicalCidrs, checkTenantId, contains, isCidr } from '#broker/operator/name.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import type { Operator } from '#broker/operator/whoami.ts';
import { lookUpSecretId, requireRole } from './secret-id.ts';

export interface IssueOptions {
  tenant: string;
  /** Seconds until it ends; 0: until revoked. Default: the role's. */
  ttl?: number;
  /** Logins it is good for; 0: no limit. Default: the role's. */
  numUses?: number;
  /** Where it may be used from. Default: the role's. */
  cidrs?: readonly string[];
  /** For people: what this credential is for. */
  name?: string;
  /** Seconds for which the response-wrapping token can be opened; false: the secret_id comes unwrapped. Default 600. */
  wrap?: number | false;
  /** Who issues it, where that isn't who the Vault token says. */
  issuedBy?: string;
  /** More to note with it; each login with it hands it back. */
  metadata?: Readonly<Record<string, string>>;
}

export interface IssuedSecretId {
  tenant: string;
  /** The customer's client_id. */
  role_id: string;
  /** Names it for `secret revoke`; null where this Vault does not tell it for a wrapped answer. */
  accessor: string | null;
  name: string | null;
  issued_by: string;
  /** ISO 8601; null: until revoked. */
  expires_at: string | null;
  num_uses: number;
  cidrs: string[];
  /** Can be opened once, until wrap_expires_at. */
  wrapping_token?: string;
  wrap_expires_at?: string;
  /** Only without wrapping. */
  secret_id?: string;
  /** What the operator should know. */
  warnings: string[];
}

/** What whoever issues many has read already. */
export interface Known {
  readonly role: Readonly<Record<string, unknown>>;
  readonly roleId: string;
  readonly operator: Operator;
  /** Seconds; undefined where the caller may not look. */
  readonly limit: number | undefined;
}

export const DEFAULT_WRAP_TTL = 600;
const MAX_TTL = 31_536_000;

/**
 * Issues one more secret_id of a tenant; the older ones go on.
 * @throws {PosternError} not_found, invalid_request; access_denied; temporarily_unavailable
 */
export async function issueSecretId(access: VaultAccess, options: IssueOptions, known?: Known): Promise<IssuedSecretId> {
  check(options);
  const { tenant, wrap = DEFAULT_WRAP_TTL } = options;
  const { approle } = access.mounts;
  const { role, operator, limit, roleId } = known ?? (await knownOf(access, tenant));
  checkBlocks(options.cidrs ?? [], role['secret_id_bound_cidrs'], tenant);
  const asked = options.ttl ?? numberOf(role['secret_id_ttl']);
  const ttl = limit !== undefined && asked > limit ? limit : asked;
  const numUses = options.numUses ?? numberOf(role['secret_id_num_uses']);
  const metadata = {
    // By it the end of this credential is announced.
    ...(endingIdOf(options.metadata ?? {}) === undefined ? { [CREDENTIAL_ID_METADATA]: newCredentialId() } : {}),
    ...options.metadata,
    issued_by: options.issuedBy ?? operator.name,
    issued_at: new Date(operator.now).toISOString(),
    ...(options.name === undefined ? {} : { name: options.name }),
    // The broker remembers a verified credential no longer than this.
    ...(ttl > 0 ? { [EXPIRY_METADATA]: String(Math.floor(operator.now / 1000) + ttl) } : {}),
    // Nor does it go by an earlier verification where the next one may be refused.
    ...(numUses > 0 ? { [USES_METADATA]: String(numUses) } : {}),
  };
  const answer = await access.call(`issue a secret_id of ${tenant}`, ({ client, as }) =>
    client.write(
      `auth/${approle}/role/${tenant}/secret-id`,
      {
        metadata: JSON.stringify(metadata),
        ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        ...(options.numUses === undefined ? {} : { num_uses: options.numUses }),
        ...(options.cidrs === undefined || options.cidrs.length === 0 ? {} : { cidr_list: canonicalCidrs(options.cidrs) }),
      },
      wrap === false ? as : { ...as, wrapTtl: wrap },
    ),
  );
  const secret = wrap === false ? unwrapped(answer.data) : wrapped(answer.wrap_info);
  const { accessor } = secret;
  // A wrapped answer tells nothing of what was granted, and no answer tells it for a life that the mount cut short.
  const seen = accessor === null || known !== undefined ? undefined : await lookUpSecretId(access, tenant, accessor);
  const warnings: string[] = [];
  if (ttl < asked)
    warnings.push(
      `It ends after ${ttl} s, not ${asked} s: the longest life on auth/${approle} cuts it short (max_lease_ttl, set by Terraform).`,
    );
  if (numUses > 0 && numUses < 10)
    warnings.push(
      `It is good for ${numUses} login${numUses === 1 ? '' : 's'}. Each broker logs in about every 30 s ` +
        'while it is in use: count on thousands of logins a day.',
    );
  if (accessor === null)
    warnings.push('This Vault does not tell the accessor of a wrapped secret_id: find it by name and time with `postern secret list`.');
  if (role['token_type'] !== 'batch')
    warnings.push(
      `The role of ${tenant} gives ${String(role['token_type'])} tokens and the broker will refuse it: see \`postern doctor\`.`,
    );
  return {
    tenant,
    role_id: roleId,
    name: options.name ?? null,
    issued_by: options.issuedBy ?? operator.name,
    expires_at: seen === undefined ? (ttl > 0 ? new Date(operator.now + ttl * 1000).toISOString() : null) : seen.expires_at,
    num_uses: numUses,
    cidrs: seen?.cidrs ?? canonicalCidrs(options.cidrs ?? []),
    ...secret,
    warnings,
  };
}

async function knownOf(access: VaultAccess, tenant: string): Promise<Known> {
  const [role, operator, limit, roleId] = await Promise.all([
    requireRole(access, tenant),
    whoIs(access),
    longestLife(access),
    readRoleId(access, tenant),
  ]);
  return { role, operator, limit, roleId };
}

/** @throws {PosternError} not_found */
export async function readRoleId(access: VaultAccess, tenant: string): Promise<string> {
  const path = `auth/${access.mounts.approle}/role/${tenant}/role-id`;
  const id = (await access.call(`read the role_id of ${tenant}`, ({ client, as }) => client.read(path, as)))?.data?.['role_id'];
  if (typeof id === 'string') return id;
  throw new PosternError('not_found', `There is no tenant "${tenant}"`, {
    detail: 'See `postern tenant list`; make it with `postern tenant create` or Terraform.',
  });
}

function check(options: IssueOptions): void {
  checkTenantId(options.tenant);
  const faults: string[] = [];
  const { ttl, numUses, cidrs = [], name, wrap } = options;
  if (ttl !== undefined && !(Number.isInteger(ttl) && (ttl === 0 || (ttl >= 60 && ttl <= MAX_TTL))))
    faults.push('ttl: 0 (until revoked) or 60 s to 1 year');
  if (numUses !== undefined && !(Number.isInteger(numUses) && numUses >= 0 && numUses <= 1_000_000_000))
    faults.push('num-uses: 0 (no limit) or a whole number of logins');
  if (wrap !== undefined && wrap !== false && !(Number.isInteger(wrap) && wrap >= 10 && wrap <= 7 * 86_400))
    faults.push('wrap TTL: 10 s to 7 days');
  if (name !== undefined && !/^[^\p{Cc}]{1,128}$/u.test(name)) faults.push('name: 1 to 128 characters on one line');
  for (const cidr of cidrs)
    if (!isCidr(cidr)) faults.push(`cidr: ${JSON.stringify(cidr.slice(0, 60))} is not a block of addresses such as 203.0.113.0/24`);
  if (faults.length > 0)
    throw new PosternError('invalid_request', `No secret_id can be issued like this:\n${faults.map((f) => `  ${f}`).join('\n')}`);
}

/** Vault answers blocks outside the role's with an internal error: they are refused here. */
function checkBlocks(cidrs: readonly string[], role: unknown, tenant: string): void {
  if (!Array.isArray(role) || role.length === 0) return;
  const outside = cidrs.filter((cidr) => !role.some((block) => typeof block === 'string' && contains(block, cidr)));
  if (outside.length > 0) {
    throw new PosternError(
      'invalid_request',
      `${outside.join(', ')} ${outside.length === 1 ? 'is' : 'are'} outside of what ${tenant} may use`,
      { detail: `Its role allows ${role.join(', ')}.` },
    );
  }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** Longest life on the mount, in seconds; undefined where this token may not look. */
export async function longestLife(access: VaultAccess): Promise<number | undefined> {
  const path = `sys/auth/${access.mounts.approle}/tune`;
  const answer = await access
    .call('read the tuning of the AppRole mount', ({ client, as }) => client.read(path, as))
    .catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'access_denied') return undefined;
      throw error;
    });
  const limit = answer?.data?.['max_lease_ttl'];
  return typeof limit === 'number' && limit > 0 ? limit : undefined;
}

type Secret = Pick<IssuedSecretId, 'accessor' | 'wrapping_token' | 'wrap_expires_at' | 'secret_id'>;

function wrapped(info: Record<string, unknown> | null | undefined): Secret & { accessor: string | null } {
  const { token, ttl, creation_time: created, wrapped_accessor: accessor } = info ?? {};
  if (typeof token !== 'string' || typeof ttl !== 'number')
    throw new PosternError('temporarily_unavailable', 'Vault answered without a wrapping token');
  const from = typeof created === 'string' ? Date.parse(created) : Date.now();
  return {
    accessor: typeof accessor === 'string' && accessor !== '' ? accessor : null,
    wrapping_token: token,
    wrap_expires_at: new Date(from + ttl * 1000).toISOString(),
  };
}

function unwrapped(data: Record<string, unknown> | null | undefined): Secret & { accessor: string | null } {
  const { secret_id: secret, secret_id_accessor: accessor } = data ?? {};
  if (typeof secret !== 'string') throw new PosternError('temporarily_unavailable', 'Vault answered without a secret_id');
  return { accessor: typeof accessor === 'string' ? accessor : null, secret_id: secret };
}
