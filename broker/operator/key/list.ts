import { PosternError } from '#broker/error.ts';
import { KEY_ID, KEY_METADATA } from '#broker/vault/key-metadata.ts';
import { canonicalLimits, parseLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import type { Rotations } from '#broker/vault/key-ends.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { ACCESSOR } from '#broker/operator/name.ts';
import { readRotations } from './rotations.ts';
import { readSecretIds } from '#broker/operator/secret/secret-id.ts';
import type { Progress, StoredSecretId } from '#broker/operator/secret/secret-id.ts';

export { KEY_ID } from '#broker/vault/key-metadata.ts';

/** An API key as its metadata shows it: everything but the key. */
export interface KeyView {
  tenant: string;
  /** Names it in every list; no secret. */
  key_id: string;
  /** The secret_id's, as `secret list` shows it. */
  accessor: string;
  name: string | null;
  environment: string | null;
  /** The Auth0 user whose key it is, and the organization in which they made it; null: the tenant's own. */
  owner: string | null;
  organization: string | null;
  /** What it is narrowed to; null: all that its tenant has. */
  scopes: string[] | null;
  /** How often it may be used; null: as often as its tenant. */
  limits: Limits | null;
  /** Where it may be used from; empty: anywhere. */
  cidrs: string[];
  issued_by: string | null;
  /** ISO 8601. */
  issued_at: string | null;
  /** ISO 8601: its own end, or that which a rotation set if it is sooner; null: until revoked. */
  expires_at: string | null;
  /** ISO 8601, to the minute: up to 30 s early, and known some minutes late (POSTERN_USAGE_INTERVAL). Null: not in the last 400 days. */
  last_used_at: string | null;
  /**
   * `ending`: replaced, and good until expires_at · `ended`: refused by brokers, to be destroyed by the next who may ·
   * `unconfirmed`: a rotation that was interrupted issued it, and perhaps nobody saw it
   */
  state: 'active' | 'ending' | 'ended' | 'unconfirmed';
  replaces: string | null;
  replaced_by: string | null;
}

/** Every API key of a tenant, oldest first. @throws {PosternError} not_found where there is no such tenant */
export async function listKeys(
  access: VaultAccess,
  tenant: string,
  options: { onProgress?: Progress; signal?: AbortSignal; hasEnded?: VaultAccess['hasEnded'] } = {},
): Promise<KeyView[]> {
  const { hasEnded = access.hasEnded } = options;
  const [stored, { rotations, names }] = await Promise.all([readSecretIds(access, tenant, options), readRotations(access, tenant)]);
  const keys = stored.flatMap((one) => keyViewOf(one, rotations, Date.now(), names, hasEnded) ?? []);
  const used = await readLastUse(
    access,
    'key',
    keys.map(({ key_id: keyId }) => keyId),
  );
  return keys.map((key) => ({ ...key, last_used_at: used.get(key.key_id) ?? null }));
}

/**
 * @param after the key id of the last one of the page before
 * @returns `next`: the last key id of the page, where there are more
 * @throws {PosternError} not_found where `after` is no key of the list (any more)
 */
export function pageOfKeys(
  keys: readonly KeyView[],
  { after, limit = Infinity }: { after?: string; limit?: number },
): { keys: readonly KeyView[]; next: string | undefined } {
  const last = keys.findIndex(({ key_id: keyId }) => keyId === after);
  if (after !== undefined && last === -1)
    throw new PosternError('not_found', 'The key after which the list should go on is not in it (any more)', {
      detail: 'Give --after the key id of another one that you have seen, or begin anew without it.',
    });
  const page = keys.slice(last + 1).slice(0, limit);
  return { keys: page, next: last + 1 + page.length < keys.length ? page.at(-1)?.key_id : undefined };
}

/** Of a tenant's keys the one with this key id or accessor. @throws {PosternError} not_found */
export function pickKey(keys: readonly KeyView[], tenant: string, which: string): KeyView {
  const found = keys.find(({ key_id: keyId, accessor }) => which === keyId || which === accessor);
  if (found !== undefined) return found;
  // Shortened: a secret_id looks just like an accessor, and might have been given by mistake.
  throw new PosternError('not_found', `${tenant} has no API key ${which.slice(0, 8)}…`, {
    detail: 'See `postern key list`: it was revoked, has ended, or was never there.',
  });
}

/** @throws {PosternError} invalid_request; without repeating what was given, which may be a key */
export function checkKeyName(which: string): void {
  if (KEY_ID.test(which) || ACCESSOR.test(which)) return;
  throw new PosternError('invalid_request', 'A key id such as key_0f1e2d3c4b5a69788796a5b4, or an accessor, is needed', {
    detail: 'See `postern key list`. The key itself must not be typed here.',
  });
}

/** @returns undefined where the secret_id is not an API key; `last_used_at` is not looked up */
export function keyViewOf(
  { view, metadata }: StoredSecretId,
  rotations: Rotations,
  now: number,
  names: Readonly<Record<string, string>> = {},
  hasEnded?: VaultAccess['hasEnded'],
): KeyView | undefined {
  const keyId = metadata[KEY_METADATA.keyId];
  if (typeof keyId !== 'string' || !KEY_ID.test(keyId)) return undefined;
  const { tenant, accessor, name, cidrs, issued_by: issuedBy, created_at: issuedAt } = view;
  const environment = metadata[KEY_METADATA.environment];
  const scopes = metadata[KEY_METADATA.scopes];
  const replaces = metadata[KEY_METADATA.replaces];
  const owner = metadata[KEY_METADATA.owner];
  const organization = metadata[KEY_METADATA.organization];
  const replaced = rotations.find((rotation) => rotation.key_id === keyId && rotation.until !== null);
  const ends = Math.min(
    view.expires_at === null ? Infinity : Date.parse(view.expires_at),
    replaced?.until ? replaced.until * 1000 : Infinity,
  );
  const origin = rotations.find((rotation) => rotation.key_id === replaces);
  const unconfirmed = origin !== undefined && (origin.until === null || origin.new_key_id !== keyId);
  return {
    tenant,
    key_id: keyId,
    accessor,
    name: names[keyId] ?? name,
    environment: typeof environment === 'string' ? environment : null,
    owner: typeof owner === 'string' ? owner : null,
    organization: typeof organization === 'string' ? organization : null,
    scopes: typeof scopes === 'string' ? scopes.split(' ') : null,
    limits: limitsIn(metadata[KEY_METADATA.limits]),
    cidrs,
    issued_by: issuedBy,
    issued_at: issuedAt,
    expires_at: Number.isFinite(ends) ? new Date(ends).toISOString() : null,
    last_used_at: null,
    // Announced, though it is there still: a revocation that broke off.
    state: ends <= now || hasEnded?.(keyId) === true ? 'ended' : unconfirmed ? 'unconfirmed' : replaced === undefined ? 'active' : 'ending',
    replaces: typeof replaces === 'string' ? replaces : null,
    replaced_by: replaced?.new_key_id ?? null,
  };
}

/** Those that can't be read make brokers refuse the key; here they are none. */
function limitsIn(text: unknown): Limits | null {
  try {
    return typeof text === 'string' ? canonicalLimits(parseLimits(text)) : null;
  } catch {
    return null;
  }
}
