import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { MAX_OVERLAP } from '#broker/operator/key/rotate.ts';
import { readRotations } from '#broker/operator/key/rotations.ts';
import { ACCESSOR, checkTenantId } from '#broker/operator/name.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { CREDENTIAL_ID_METADATA, KEY_METADATA, newCredentialId } from '#broker/vault/key-metadata.ts';
import { issueSecretId } from './issue.ts';
import type { IssuedSecretId } from './issue.ts';
import { changeReplacements, destroyUnclaimed, settleReplacements } from './replacements.ts';
import { readSecretIds, requireRole } from './secret-id.ts';
import type { SecretIdView } from './stored.ts';

export interface RotateSecretOptions {
  tenant: string;
  /** Which one ends; undefined: the only one that there is. */
  accessor?: string | undefined;
  /** Seconds for which it goes on beside the new one; 0: it ends at once. */
  overlap: number;
  /** As for issuing. */
  wrap?: number | false;
  /** Hands over the new one. Only when this has ended well does the old one get an end. */
  deliver: (issued: RotatedSecretId) => Promise<void> | void;
  signal?: AbortSignal;
}

export interface RotatedSecretId extends IssuedSecretId {
  /** Accessor of the old one. */
  replaces: string;
  /** ISO 8601: from when on the next `secret list`, `secret rotate` or `key prune` revokes the old one. */
  replaces_until: string;
  /** Accessors revoked now that an interrupted run had issued, and perhaps shown. */
  abandoned: string[];
}

/**
 * Issues a secret_id in place of another, with its name, addresses and length of life, and ends that one after the overlap. As with keys,
 * `keys/<tenant>` notes the new one before it is issued, and the old one's end after it was delivered: an interrupted run leaves at most
 * one that nobody need have seen, which the same call revokes.
 * @throws {PosternError} not_found; conflict where it is replaced already, or somebody else rotates it; invalid_request
 */
export async function rotateSecretId(access: VaultAccess, options: RotateSecretOptions): Promise<void> {
  const { tenant, overlap, signal } = options;
  checkTenantId(tenant);
  if (options.accessor !== undefined && !ACCESSOR.test(options.accessor))
    throw new PosternError('invalid_request', 'An accessor is needed, such as 6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55', {
      detail: 'See `postern secret list`. A secret_id is not an accessor, and must not be typed here.',
    });
  if (!(Number.isInteger(overlap) && overlap >= 0 && overlap <= MAX_OVERLAP))
    throw new PosternError('invalid_request', 'An overlap is 0 s to 30 days');
  await settleReplacements(access, tenant);
  const old = await replaceable(access, tenant, options.accessor);
  const credentialId = newCredentialId();
  await changeReplacements(access, tenant, (before) => [
    ...before.filter(({ accessor, until }) => accessor !== old.accessor || refuseReplaced(tenant, old.accessor, until)),
    { accessor: old.accessor, new_id: credentialId, until: null },
  ]);
  const abandoned = await destroyUnclaimed(access, tenant, old.accessor, credentialId);
  const ttl = await lifeOf(access, old);
  signal?.throwIfAborted();
  const issued = await issueSecretId(access, {
    tenant,
    ttl,
    ...(options.wrap === undefined ? {} : { wrap: options.wrap }),
    ...(old.name === null ? {} : { name: old.name }),
    ...(old.cidrs.length === 0 ? {} : { cidrs: old.cidrs }),
    metadata: { [CREDENTIAL_ID_METADATA]: credentialId, [KEY_METADATA.replaces]: old.accessor },
  });
  const until = Math.floor((await whoIs(access)).now / 1000) + overlap;
  const ends = Math.min(until * 1000, old.expires_at === null ? Infinity : Date.parse(old.expires_at));
  await options.deliver({ ...issued, replaces: old.accessor, replaces_until: new Date(ends).toISOString(), abandoned });
  let ours = false;
  await changeReplacements(access, tenant, (before) => {
    ours = before.some((one) => one.accessor === old.accessor && one.new_id === credentialId);
    return before.map((one) => (one.new_id === credentialId ? { ...one, until } : one));
  });
  if (!ours)
    throw new PosternError('conflict', `Somebody else rotates this secret_id of ${tenant} too: theirs counts, not the one shown here`, {
      detail: `See: postern secret list ${tenant}`,
    });
  if (overlap === 0) await settleReplacements(access, tenant);
}

function refuseReplaced(tenant: string, accessor: string, until: number | null): false {
  if (until === null) return false;
  throw replacedAlready(tenant, accessor, until);
}

function replacedAlready(tenant: string, accessor: string, until: number): PosternError {
  return new PosternError('conflict', `${accessor} is replaced already and ends at ${new Date(until * 1000).toISOString()}`, {
    detail: `Rotate the one in its place (postern secret list ${tenant}), or end this one now: postern secret revoke ${tenant} ${accessor}`,
  });
}

/** The one that is to be replaced. @throws {PosternError} not_found, conflict, invalid_request where it isn't clear which */
async function replaceable(access: VaultAccess, tenant: string, which: string | undefined): Promise<SecretIdView> {
  const [stored, { secrets }] = await Promise.all([readSecretIds(access, tenant), readRotations(access, tenant)]);
  const plain = stored.filter(({ metadata }) => metadata[KEY_METADATA.keyId] === undefined);
  const ending = new Map(secrets.flatMap(({ accessor, until }) => (until === null ? [] : [[accessor, until] as const])));
  /** Issued by a run that was interrupted: the next run revokes it. */
  const unclaimed = new Set(
    secrets
      .filter(({ until }) => until === null)
      .flatMap(({ accessor }) =>
        plain.filter(({ metadata }) => metadata[KEY_METADATA.replaces] === accessor).map(({ view }) => view.accessor),
      ),
  );
  if (which !== undefined) {
    const found = plain.find(({ view }) => view.accessor === which)?.view;
    if (found === undefined) {
      const key = stored.find(({ view }) => view.accessor === which)?.metadata[KEY_METADATA.keyId];
      throw new PosternError('not_found', `${tenant} has no secret_id ${which.slice(0, 8)}…`, {
        detail: typeof key !== 'string' ? `See: postern secret list ${tenant}` : `It is an API key: postern key rotate ${tenant} ${key}`,
      });
    }
    const until = ending.get(which);
    if (until !== undefined) {
      const successor = plain.some(({ metadata }) => metadata[KEY_METADATA.replaces] === which);
      if (successor) throw replacedAlready(tenant, which, until);
      throw successorGone(tenant, found, until);
    }
    return found;
  }
  const candidates = plain.map(({ view }) => view).filter(({ accessor }) => !ending.has(accessor) && !unclaimed.has(accessor));
  const [only, ...more] = candidates;
  if (only === undefined) {
    const last = plain.find(({ view }) => ending.has(view.accessor))?.view;
    if (last !== undefined) throw successorGone(tenant, last, ending.get(last.accessor) ?? 0);
    throw new PosternError('not_found', `${tenant} has no secret_id to rotate`, { detail: `Issue one: postern secret issue ${tenant}` });
  }
  if (more.length > 0)
    throw new PosternError('invalid_request', `${tenant} has ${candidates.length} secret_ids: which one ends?`, {
      detail: candidates
        .map(({ accessor, name }) => `postern secret rotate ${tenant} ${accessor}${name === null ? '' : `  # ${name}`}`)
        .join('\n'),
    });
  return only;
}

function successorGone(tenant: string, { accessor, name }: SecretIdView, until: number): PosternError {
  return new PosternError(
    'conflict',
    `${accessor} was replaced and ends at ${new Date(until * 1000).toISOString()}, and the one in its place is revoked`,
    { detail: `Issue another: postern secret issue ${tenant}${name === null ? '' : ` --name ${JSON.stringify(name)}`}` },
  );
}

/** Seconds: the life of the old one, anew, within what the role allows; 0: until revoked. */
async function lifeOf(access: VaultAccess, old: SecretIdView): Promise<number> {
  const limit = (await requireRole(access, old.tenant))['secret_id_ttl'];
  const longest = typeof limit === 'number' && limit > 0 ? limit : Infinity;
  if (old.expires_at === null || old.created_at === null) return longest === Infinity ? 0 : longest;
  return Math.min(longest, Math.max(60, Math.round((Date.parse(old.expires_at) - Date.parse(old.created_at)) / 1000)));
}
