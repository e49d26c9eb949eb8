import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import type { Owner } from '#broker/credential/owner.ts';
import { formatLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { KEY_METADATA, newKeyId, ownerOf } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announceRotation } from '#broker/operator/announcement.ts';
import { checkKeyName, keyViewOf, pickKey } from './list.ts';
import type { KeyView } from './list.ts';
import { issueAs } from './issue.ts';
import type { IssuedKey } from './issue.ts';
import { destroyStrays, settleRotations } from './settle.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { changeRotations, readRotations } from './rotations.ts';
import { readSecretIds, requireRole } from '#broker/operator/secret/secret-id.ts';

export interface RotateOptions {
  tenant: string;
  /** Key id or accessor of the key that ends. */
  key: string;
  /** Seconds for which it goes on beside the new one; 0: it ends at once. */
  overlap: number;
  /** Of the new key; null: none. Default: those of the old one. */
  limits?: Limits | null;
  /** Hands over the new key. Only when this has ended well does the old key get an end: what it throws leaves the old one as it is. */
  deliver: (issued: RotatedKey) => Promise<void> | void;
  /** Who rotates it, where that isn't who the Vault token says. */
  issuedBy?: string;
  /** Where its owner does: when their access token was issued, seconds since 1970. */
  ownerSince?: number;
  /** Longest life of the new key, seconds. Default: the role's. */
  longest?: number;
  /** Aborting begins nothing further; once the new key is issued, it is delivered and noted all the same. */
  signal?: AbortSignal;
}

export interface RotatedKey extends IssuedKey {
  /** Key id of the old one. */
  replaces: string;
  /** ISO 8601: when the old one ends. */
  replaces_until: string;
  /** Keys destroyed now that an interrupted run had issued, and perhaps shown. */
  abandoned: string[];
}

export const MAX_OVERLAP = 30 * 86_400;
/** At what follows once the new key is out, while Vault is away. */
const ATTEMPTS = 4;

/**
 * Issues a key in place of another and ends that one after the overlap. `keys/<tenant>` notes the key id of the new one before it is
 * issued, and the old one's end after it was delivered, each by check-and-set. So a run that was interrupted leaves at most one
 * new key, which nobody need have seen: the same call destroys it and issues another. Of two at once the later goes on, and the earlier
 * destroys its own.
 *
 * Brokers refuse the old key from its end on; {@link settleRotations} then destroys it, since Vault can't shorten a secret_id's life.
 *
 * @returns what the operator should know after it was delivered
 * @throws {PosternError} not_found; conflict where it is replaced already, or somebody else rotates it; invalid_request;
 * temporarily_unavailable
 */
export async function rotateKey(access: VaultAccess, options: RotateOptions): Promise<{ warnings: string[] }> {
  const { tenant, overlap, signal } = options;
  checkTenantId(tenant);
  checkKeyName(options.key);
  if (!(Number.isInteger(overlap) && overlap >= 0 && overlap <= MAX_OVERLAP))
    throw new PosternError('invalid_request', 'An overlap is 0 s to 30 days');
  await settleRotations(access, tenant);
  const old = await replaceable(access, tenant, options.key);
  const keyId = newKeyId();
  await claim(access, tenant, old, keyId);
  const abandoned = await destroyStrays(access, tenant, old.key_id, keyId);
  const life = await lifeOf(access, old, options.longest);
  signal?.throwIfAborted();
  const issued = await issueAs(access, keyId, {
    tenant,
    replaces: old.key_id,
    ...(old.name === null ? {} : { name: old.name }),
    // Whoever else rotates it: a new key of somebody who has gone since is as void as the old one.
    ...(old.from === undefined ? {} : { owner: { ...old.from, since: options.ownerSince ?? old.from.since } }),
    ...(options.issuedBy === undefined ? {} : { issuedBy: options.issuedBy }),
    ...(old.environment === null ? {} : { environment: old.environment }),
    ...(old.scopes === null ? {} : { scopes: old.scopes }),
    limits: options.limits === undefined ? old.limits : options.limits,
    ...(old.cidrs.length === 0 ? {} : { cidrs: old.cidrs }),
    ttl: life.ttl,
  });
  await requireClaim(access, old, issued);
  const until = Math.floor((await whoIs(access)).now / 1000) + overlap;
  const ends = Math.min(until * 1000, old.expires_at === null ? Infinity : Date.parse(old.expires_at));
  await options.deliver({
    ...issued,
    replaces: old.key_id,
    replaces_until: new Date(ends).toISOString(),
    abandoned,
    warnings: [...issued.warnings, ...life.warnings],
  });
  await confirm(access, old, issued, until);
  return endReplaced(access, tenant, { keyId: old.key_id, accessor: old.accessor, overlap });
}

/**
 * The last of a rotation, once the old key's end is noted: without an overlap it is destroyed, and brokers are told of its end. Harmless
 * a second time.
 * @param ended.accessor undefined where it isn't there any more
 * @returns what of it could not be done
 */
export async function endReplaced(
  access: VaultAccess,
  tenant: string,
  ended: { readonly keyId: string; readonly accessor: string | undefined; readonly overlap: number },
): Promise<{ warnings: string[] }> {
  const { keyId, accessor, overlap } = ended;
  const warnings: string[] = [];
  if (overlap === 0) {
    const destroyed =
      accessor === undefined ||
      (await persistently(() => revokeSecretId(access, { tenant, accessors: [accessor] })).then(
        () => true,
        () => false,
      ));
    // What fails here is left to the next run.
    await settleRotations(access, tenant).catch(() => {});
    if (destroyed) return { warnings };
    warnings.push(`${keyId} has ended, but could not be destroyed at Vault yet: postern key prune ${tenant}`);
  }
  // Without the announcement brokers learn of the end when they verify the key again.
  await persistently(() => announceRotation(access, tenant, keyId)).catch(() =>
    warnings.push(`The end of ${keyId} could not be announced: brokers learn of it within 30 s.`),
  );
  return { warnings };
}

/** The key that is to be replaced. @throws {PosternError} not_found, conflict */
async function replaceable(access: VaultAccess, tenant: string, which: string): Promise<KeyView & { from: Owner | undefined }> {
  const [stored, { rotations, names }, { now }] = await Promise.all([
    readSecretIds(access, tenant),
    readRotations(access, tenant),
    whoIs(access),
  ]);
  const old = pickKey(
    stored.flatMap((one) => keyViewOf(one, rotations, now, names, access.hasEnded) ?? []),
    tenant,
    which,
  );
  const metadata = stored.find(({ view }) => view.accessor === old.accessor)?.metadata ?? {};
  if (old.state === 'active') return { ...old, from: ownerOf(metadata, tenant) };
  if (old.state === 'unconfirmed') {
    throw new PosternError('conflict', `${old.key_id} was issued by a rotation that was interrupted`, {
      detail: `Run that again: postern key rotate ${tenant} ${old.replaces}`,
    });
  }
  if (old.state === 'ended')
    throw new PosternError('conflict', `${old.key_id} has ended`, { detail: `Issue another: postern key issue ${tenant}` });
  if (!stored.some(({ metadata: { [KEY_METADATA.keyId]: id } }) => id === old.replaced_by)) throw successorGone(old);
  throw replacedAlready(old.key_id, old.replaced_by, old.expires_at);
}

/** A rotation begins with a key that is good until it is replaced; this one's end is set, and what stood in its place is gone. */
function successorGone(old: KeyView): PosternError {
  const options = [
    ...(old.name === null ? [] : [`--name ${JSON.stringify(old.name)}`]),
    ...(old.scopes ?? []).map((scope) => `--scope ${scope}`),
    ...(old.limits === null ? [] : [`--limit ${formatLimits(old.limits)}`]),
    ...old.cidrs.map((cidr) => `--cidr ${cidr}`),
    ...(old.owner === null ? [] : [`--owner '${old.owner}'`]),
    ...(old.environment === null ? [] : [`--environment ${old.environment}`]),
  ];
  return new PosternError('conflict', `${old.key_id} was replaced by ${old.replaced_by}, which is revoked; it ends at ${old.expires_at}`, {
    detail: `Issue another before that: postern key issue ${[old.tenant, ...options].join(' ')}`,
  });
}

function replacedAlready(keyId: string, by: string | null, endsAt: string | null): PosternError {
  return new PosternError('conflict', `${keyId} is replaced already by ${by} and ends at ${endsAt}`, {
    detail: 'Rotate the new one, or end the old one now: postern key revoke',
  });
}

/** Notes which key id the new key will have. A claim of a run that was interrupted, or is still under way, falls. */
async function claim(access: VaultAccess, tenant: string, old: KeyView, newId: string): Promise<void> {
  await changeRotations(access, tenant, (rotations) => {
    const before = rotations.find(({ key_id: keyId }) => keyId === old.key_id);
    if (before !== undefined && before.until !== null)
      throw replacedAlready(old.key_id, before.new_key_id, new Date(before.until * 1000).toISOString());
    return [...rotations.filter((one) => one !== before), { key_id: old.key_id, accessor: old.accessor, new_key_id: newId, until: null }];
  });
}

/** The life of the old key, anew: one that ends is never followed by one that does not. */
async function lifeOf(access: VaultAccess, old: KeyView, most = Infinity): Promise<{ ttl: number; warnings: string[] }> {
  const limit = (await requireRole(access, old.tenant))['secret_id_ttl'];
  const longest = Math.min(most, typeof limit === 'number' && limit > 0 ? limit : Infinity);
  const from = old.issued_at === null ? Date.now() : Date.parse(old.issued_at);
  const life = old.expires_at === null ? Infinity : Math.max(60, Math.round((Date.parse(old.expires_at) - from) / 1000));
  const ttl = Math.min(life, longest);
  const warnings =
    ttl < life
      ? [
          `It ends after ${ttl} s, which is now the longest life ${most < Infinity ? 'of such keys' : "of this tenant's credentials"}; the old key had ` +
            `${life === Infinity ? 'no end' : `${life} s`}.`,
        ]
      : [];
  return { ttl: ttl === Infinity ? 0 : ttl, warnings };
}

/** @throws {PosternError} conflict, after destroying the new key, where another run has claimed the rotation since */
async function requireClaim(access: VaultAccess, old: KeyView, issued: IssuedKey): Promise<void> {
  const { rotations } = await readRotations(access, old.tenant);
  if (rotations.some((one) => one.key_id === old.key_id && one.new_key_id === issued.key_id)) return;
  throw await lost(access, old, issued, 'before it was shown');
}

async function lost(access: VaultAccess, old: KeyView, issued: IssuedKey, when: string): Promise<PosternError> {
  if (issued.accessor !== null) await revokeSecretId(access, { tenant: old.tenant, accessors: [issued.accessor] });
  return new PosternError('conflict', `Somebody else rotates ${old.key_id} too: the key issued here was destroyed ${when}`, {
    detail: `Use the other one. See: postern key list ${old.tenant}`,
  });
}

/** Gives the old key its end, in seconds since 1970. @throws {PosternError} conflict where another run has claimed the rotation since */
async function confirm(access: VaultAccess, old: KeyView, issued: IssuedKey, until: number): Promise<void> {
  let ours = false;
  await persistently(() =>
    changeRotations(access, old.tenant, (rotations) => {
      const mine = rotations.find((one) => one.key_id === old.key_id && one.new_key_id === issued.key_id);
      ours = mine !== undefined;
      // An end that is there already was noted by a write whose answer was lost.
      if (mine === undefined || mine.until !== null) return undefined;
      return rotations.map((one) => (one === mine ? { ...one, until } : one));
    }),
  ).catch((error: unknown) => {
    throw error instanceof PosternError ? unconfirmed(error, old) : error;
  });
  if (!ours) throw await lost(access, old, issued, 'after it was shown');
}

/** Again while Vault is away, a little. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'temporarily_unavailable') || attempt === ATTEMPTS) throw error;
      await sleep(300 * attempt);
    }
  }
}

function unconfirmed(error: PosternError, old: KeyView): PosternError {
  return new PosternError(error.code, `The new key was shown, but this could not be noted: ${old.key_id} goes on without an end`, {
    detail:
      'Do not use the key that was shown. Run the same command again: it destroys that one and issues ' +
      `another. ${error.message}${error.detail === undefined ? '' : ` ${error.detail}`}`,
  });
}
