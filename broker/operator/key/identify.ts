import { ApiKey } from '#broker/credential/api-key.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import type { Endings } from '#broker/credential/endings.ts';
import { PosternError } from '#broker/error.ts';
import { endingIdOf, ownerOf } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readEndings } from '#broker/operator/endings.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { readPresented } from '#broker/operator/secret/secret-id.ts';
import type { Progress, StoredSecretId } from '#broker/operator/secret/secret-id.ts';
import { findClient } from '#broker/operator/tenant/by-client.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import { keyViewOf } from './list.ts';
import type { KeyView } from './list.ts';
import { readRotations } from './rotations.ts';

/** Whose a credential is, and whether it still opens anything. Never the credential. */
export interface Found {
  tenant: string;
  tenant_state: 'active' | 'disabled' | 'incomplete' | 'deleted';
  client_id: string;
  kind: 'api_key' | 'secret_id';
  /** An API key's, or another secret_id's `cred_…`; null where Vault has it no more, or it was issued past Postern. */
  key_id: string | null;
  accessor: string | null;
  name: string | null;
  owner: string | null;
  environment: string | null;
  /** As in `key list`; `gone`: Vault has no such secret (any more) of this tenant. */
  state: KeyView['state'] | 'gone';
  issued_by: string | null;
  /** ISO 8601. */
  issued_at: string | null;
  expires_at: string | null;
  last_used_at: string | null;
  cidrs: string[];
  replaced_by: string | null;
  /** Of one that is gone: the tenant's credentials whose end was announced in the last seven days; it may be one of them. */
  ended: { key_id: string; at: string }[];
}

/** A key anywhere in what was pasted. */
const KEY_IN_TEXT = /(?<![0-9A-Za-z])postern_[a-z0-9]{1,16}_[0-9A-Za-z]{49}(?![0-9A-Za-z])/g;

/**
 * The credential in a text: an API key, alone or amid other words, or `<client_id>:<secret>`.
 * @throws {PosternError} invalid_request; it repeats nothing of the text
 */
export function credentialIn(text: string): { kind: Found['kind']; credential: AppRoleCredential } {
  const keys = new Set(text.match(KEY_IN_TEXT));
  if (keys.size > 1)
    throw new PosternError('invalid_request', `There are ${keys.size} API keys in this text`, { detail: 'Identify them one by one.' });
  const [only] = keys;
  if (only !== undefined) {
    const key = ApiKey.parse(only);
    if (key !== undefined) return { kind: 'api_key', credential: key.credential };
    throw new PosternError('invalid_request', 'It has the form of an API key, but its checksum is wrong: it was mistyped, or is made up', {
      detail: 'Look whether a character is missing or changed. No broker takes it as it is.',
    });
  }
  const pair = text.trim();
  const colon = pair.indexOf(':');
  const credential = colon > 0 ? AppRoleCredential.of(pair.slice(0, colon), pair.slice(colon + 1)) : undefined;
  if (credential !== undefined) return { kind: 'secret_id', credential };
  throw new PosternError('invalid_request', 'There is no credential of ours in this text', {
    detail:
      'It is an API key such as postern_live_…, or a client_id and its secret with a colon between them. ' +
      'For ids that are no secrets: postern who.',
  });
}

/** @returns undefined where no tenant has, or lately had, its client_id. @throws {PosternError} */
export async function identify(
  access: VaultAccess,
  { kind, credential }: ReturnType<typeof credentialIn>,
  options: { onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<Found | undefined> {
  const client = await findClient(access, credential.clientId, options);
  if (client === undefined) return undefined;
  const { tenant, client_id: clientId, deleted } = client;
  // First, since whoever may not ask this is told so by it.
  const stored = deleted ? undefined : await readPresented(access, tenant, credential.reveal());
  const [view, endings] = await Promise.all([deleted ? undefined : showTenant(access, tenant), readEndings(access)]);
  const base = { tenant, tenant_state: view?.state ?? ('deleted' as const), client_id: clientId };
  if (stored === undefined) return { ...base, ...gone(kind, tenant, endings) };
  const { rotations, names } = await readRotations(access, tenant);
  const key = keyViewOf(stored, rotations, Date.now(), names);
  const one = key === undefined ? secretOf(stored) : keyOf(key);
  const used = key === undefined ? undefined : (await readLastUse(access, 'key', [key.key_id])).get(key.key_id);
  return { ...base, ...one, state: hasEnded(endings, stored, clientId) ? 'ended' : one.state, last_used_at: used ?? null, ended: [] };
}

type Rest = Omit<Found, 'tenant' | 'tenant_state' | 'client_id' | 'last_used_at' | 'ended'>;

function keyOf(key: KeyView): Rest {
  const { key_id, accessor, name, owner, environment, state, issued_by, issued_at, expires_at, cidrs, replaced_by } = key;
  return { kind: 'api_key', key_id, accessor, name, owner, environment, state, issued_by, issued_at, expires_at, cidrs, replaced_by };
}

function secretOf({ view, metadata }: StoredSecretId): Rest {
  const { accessor, name, issued_by, created_at: issued_at, expires_at, cidrs } = view;
  const over = expires_at !== null && Date.parse(expires_at) <= Date.now();
  return {
    kind: 'secret_id',
    key_id: endingIdOf(metadata) ?? null,
    accessor,
    name,
    owner: null,
    environment: null,
    state: over ? 'ended' : 'active',
    issued_by,
    issued_at,
    expires_at,
    cidrs,
    replaced_by: null,
  };
}

function gone(kind: Found['kind'], tenant: string, endings: Endings): Omit<Found, 'tenant' | 'tenant_state' | 'client_id'> {
  const ended = endings
    .all()
    .filter((ending) => ending.kind === 'credential' && ending.tenant === tenant && /^(key|cred)_/.test(ending.id))
    .sort((a, b) => b.at - a.at)
    .map(({ id, at }) => ({ key_id: id, at: new Date(at * 1000).toISOString() }));
  return {
    kind,
    key_id: null,
    accessor: null,
    name: null,
    owner: null,
    environment: null,
    state: 'gone',
    issued_by: null,
    issued_at: null,
    expires_at: null,
    last_used_at: null,
    cidrs: [],
    replaced_by: null,
    ended,
  };
}

/** Announced, though Vault has it still: a revocation that was interrupted, or an owner who left. */
function hasEnded(endings: Endings, { view: { tenant }, metadata }: StoredSecretId, clientId: string): boolean {
  const id = endingIdOf(metadata);
  if ((id !== undefined && endings.knownAt('credential', id) !== undefined) || endings.includesClient(clientId)) return true;
  try {
    const owner = ownerOf(metadata, tenant);
    return owner !== undefined && endings.hasLeft(owner);
  } catch {
    // Malformed metadata: brokers refuse it.
    return true;
  }
}
