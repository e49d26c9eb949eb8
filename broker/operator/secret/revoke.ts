import { MAX_TOKEN_TTL } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { ENDLESS, announceEndings, settleEndings } from '#broker/operator/ending.ts';
import type { NewEnding } from '#broker/operator/ending.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { endingIdOf } from '#broker/vault/key-metadata.ts';
import { announce } from '#broker/operator/announcement.ts';
import { ACCESSOR, checkTenantId } from '#broker/operator/name.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH, listAccessors, lookUpSecretId, readSecretId, requireRole } from './secret-id.ts';
import type { Progress } from './secret-id.ts';

/** Looked up, announced and destroyed together. */
const BATCH = 64;

export interface RevokeOptions {
  tenant: string;
  /** Which; `all`: every one that there is. */
  accessors: readonly string[] | 'all';
  onProgress?: Progress;
  /** Aborting begins no further revocation; what was revoked by then is announced all the same. */
  signal?: AbortSignal;
}

export interface Revocation {
  tenant: string;
  /** Accessors destroyed now. */
  revoked: string[];
  /** Accessors that the tenant does not have: destroyed before, ended, or never there. */
  missing: string[];
  /** Of the announcement: every broker that has read it refuses the credential. */
  epoch: number;
}

/**
 * Announces that secret_ids have ended, so that every broker refuses them and their Vault tokens within 2 s; destroys them at Vault; and
 * announces the
 * tenant's change, so that whatever was verified in between is forgotten. Whoever is interrupted in between repeats the call, which
 * announces
 * again; without that, brokers forget by themselves within 30 s.
 *
 * @throws {PosternError} what stopped it half-way, after announcing what was destroyed
 */
export async function revokeSecretId(access: VaultAccess, options: RevokeOptions): Promise<Revocation> {
  const { tenant, signal } = options;
  checkTenantId(tenant);
  const given = options.accessors === 'all' ? [] : [...new Set(options.accessors)];
  const malformed = given.filter((accessor) => !ACCESSOR.test(accessor));
  if (malformed.length > 0 || (options.accessors !== 'all' && given.length === 0)) {
    throw new PosternError('invalid_request', 'An accessor is needed, such as 6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55', {
      detail: 'See `postern secret list`. A secret_id is not an accessor, and must not be typed here.',
    });
  }
  // A mistyped tenant is told as such, not as one whose accessors are gone.
  await requireRole(access, tenant);
  const accessors = options.accessors === 'all' ? await listAccessors(access, tenant) : given;
  const revoked: string[] = [];
  const missing: string[] = [];
  let failure: unknown;
  try {
    for (let from = 0; from < accessors.length; from += BATCH) {
      const batch = accessors.slice(from, from + BATCH);
      const found = await inParallel(batch, WIDTH, async (accessor) => {
        signal?.throwIfAborted();
        return { accessor, stored: await readSecretId(access, tenant, accessor) };
      });
      const there = found.filter(({ stored }) => stored !== undefined);
      missing.push(...found.filter(({ stored }) => stored === undefined).map(({ accessor }) => accessor));
      const { now } = await whoIs(access);
      const ids = there.map(({ stored }) => endingIdOf(stored?.metadata ?? {}));
      const unnamed: NewEnding[] = ids.includes(undefined) ? [{ kind: 'unnamed', id: tenant, tenant }] : [];
      const named = there.flatMap(({ stored }, at): NewEnding[] => {
        const id = ids[at];
        return id === undefined ? [] : [{ kind: 'credential', id, tenant, lives: lifeLeft(stored?.view.expires_at, now) }];
      });
      if (there.length > 0) await announceEndings(access, now, [...named, ...unnamed]);
      await inParallel(there, WIDTH, async ({ accessor }) => {
        signal?.throwIfAborted();
        await destroy(access, tenant, accessor);
        revoked.push(accessor);
        options.onProgress?.(revoked.length + missing.length, accessors.length);
      });
      // Where this fails they are only known for longer than need be.
      if (named.length > 0)
        await settleEndings(
          access,
          named.map(({ id }) => id),
        ).catch(() => {});
      // Until its destruction a credential without an id could still log in, and make tokens that are newer than the first end.
      if (unnamed.length > 0) await announceEndings(access, (await whoIs(access)).now, unnamed);
    }
  } catch (error) {
    failure = error;
  }
  // Nothing was destroyed and something broke: there is nothing to announce.
  if (failure !== undefined && revoked.length === 0) throw failure;
  const { epoch } = await announce(access, tenant).catch((error: unknown) => {
    throw unannounced(error, tenant, revoked.length);
  });
  if (failure !== undefined) throw halfWay(failure, signal?.aborted === true, `${revoked.length} of ${accessors.length}`, tenant);
  return { tenant, revoked, missing, epoch };
}

/** For how long it and what it logs in could live were it not destroyed, seconds. */
function lifeLeft(end: string | null | undefined, now: number): number {
  return typeof end === 'string' ? Math.max(0, (Date.parse(end) - now) / 1000) + MAX_TOKEN_TTL : ENDLESS;
}

/** One that is there. */
async function destroy(access: VaultAccess, tenant: string, accessor: string): Promise<void> {
  const path = `auth/${access.mounts.approle}/role/${tenant}/secret-id-accessor/destroy`;
  try {
    await access.call(`revoke a secret_id of ${tenant}`, ({ client, as }) => client.write(path, { secret_id_accessor: accessor }, as));
  } catch (error) {
    // Its answer was lost, or somebody else was faster: what counts is whether it is gone.
    if ((await lookUpSecretId(access, tenant, accessor).catch(() => 'unknown')) !== undefined) throw error;
  }
}

function unannounced(error: unknown, tenant: string, count: number): PosternError {
  const said = error instanceof PosternError ? error : undefined;
  return new PosternError(
    said?.code ?? 'temporarily_unavailable',
    `${count} secret_id(s) of ${tenant} are destroyed, but this could not be announced: brokers may serve them for 30 s more`,
    {
      detail:
        'Run the same command again: it announces once more. ' +
        `${said?.message ?? ''}${said?.detail === undefined ? '' : ` ${said.detail}`}`,
    },
  );
}

function halfWay(failure: unknown, aborted: boolean, count: string, tenant: string): unknown {
  if (!(failure instanceof PosternError) && !aborted) return failure;
  const said = failure instanceof PosternError ? failure : new PosternError('temporarily_unavailable', 'it was interrupted');
  return new PosternError(said.code, `Only ${count} secret_ids of ${tenant} are revoked (and announced): ${said.message}`, {
    detail: `Run the same command again.${said.detail === undefined ? '' : ` ${said.detail}`}`,
  });
}
