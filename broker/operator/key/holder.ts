import { createHash } from 'node:crypto';
import { endingIdOf } from '#broker/vault/key-metadata.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readEndings } from '#broker/operator/endings.ts';
import { readSecretIds } from '#broker/operator/secret/secret-id.ts';
import type { Progress, StoredSecretId } from '#broker/operator/secret/secret-id.ts';
import { PosternError } from '#broker/error.ts';
import { findClient, firstOf } from '#broker/operator/tenant/by-client.ts';
import { tenantNames } from '#broker/operator/tenant/list.ts';

/** Whose an id is that is no secret. */
export interface Holder {
  /** What the id is. */
  kind: 'client_id' | 'credential' | 'token';
  tenant: string;
  /** Of a client_id. */
  client_id: string | null;
  /** `key_…`, or `cred_…` of another secret_id. */
  key_id: string | null;
  accessor: string | null;
  state: 'active' | 'ended' | 'deleted';
  /** ISO 8601: when its end was announced, or, of a token, when it was issued. */
  at: string | null;
}

interface Options {
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** By its client_id, or that id's SHA-256. */
export async function holderOfClient(access: VaultAccess, id: string, options: Options = {}): Promise<Holder | undefined> {
  const client = await findClient(access, id, options);
  if (client === undefined) return undefined;
  const { tenant, client_id, deleted } = client;
  return { kind: 'client_id', tenant, client_id, key_id: null, accessor: null, state: deleted ? 'deleted' : 'active', at: null };
}

/**
 * By a key id, a credential id, an accessor, or such an id's SHA-256. What ended lately is known without a search; else each tenant's
 * credentials are looked through, since Vault keeps no index of them.
 */
export async function holderOfCredential(access: VaultAccess, wanted: string, options: Options = {}): Promise<Holder | undefined> {
  const is = (id: string | undefined): boolean => id !== undefined && (id === wanted || sha256(id) === wanted);
  const ended = (await readEndings(access)).all().find(({ kind, id }) => kind === 'credential' && is(id));
  if (ended !== undefined) {
    const { tenant, id, at } = ended;
    const named = /^(key|cred)_/.test(id);
    return {
      kind: named ? 'credential' : 'client_id',
      tenant,
      client_id: named ? null : id,
      key_id: named ? id : null,
      accessor: null,
      state: 'ended',
      at: new Date(at * 1000).toISOString(),
    };
  }
  return firstOf(
    await tenantNames(access),
    async (tenant) => {
      const stored = await readSecretIds(access, tenant).catch((error: unknown): StoredSecretId[] => {
        if (error instanceof PosternError && error.code === 'not_found') return [];
        throw error;
      });
      const one = stored.find(({ view, metadata }) => is(view.accessor) || is(endingIdOf(metadata)));
      if (one === undefined) return undefined;
      const { accessor, expires_at: expires } = one.view;
      const over = expires !== null && Date.parse(expires) <= Date.now();
      const holder: Holder = {
        kind: 'credential',
        tenant,
        client_id: null,
        key_id: endingIdOf(one.metadata) ?? null,
        accessor,
        state: over ? 'ended' : 'active',
        at: null,
      };
      return holder;
    },
    options,
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
