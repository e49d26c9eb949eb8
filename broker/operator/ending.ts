import type { z } from 'zod';
import type { Ending } from '#broker/credential/endings.ts';
import { MAX_TOKEN_TTL } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { ENDINGS_PATH, endingShardDocument, endingShardPath, endingsDocument } from '#broker/vault/endings.ts';
import type { VaultAccess } from './access.ts';
import { checkAndSet } from './check-and-set.ts';

/** Endings that every replica reads each second, at most; the older half is then moved to the archive. */
const MAX_RECENT = 128;
/** Rotated keys in the document; a broker that missed more verifies all keys of people anew. */
const MAX_ROTATED = 64;
/** Endings in one shard, at most: some 500 kB, less than a storage entry of Vault may have. */
const MAX_IN_SHARD = 4_000;
/**
 * An ended credential is kept so long though none of its tokens lives longer than an hour: a restore of Vault may bring it back. Seconds.
 */
const KEPT = 7 * 86_400;
/** A person's departure is kept for longer than a key of theirs may live. Seconds. */
const KEPT_OWNER = 400 * 86_400;
/** Of a credential without an end, until it is destroyed. Seconds. */
export const ENDLESS = 100 * 365 * 86_400;
/** Clocks differ: what was made in the seconds around an end counts as made before it. */
const SKEW = 2;
/** By how much an ending outlives the last token that it is about, seconds. */
const MARGIN = 300;

/** One that is still to be written; `lives`: seconds that what it ends may live on; `at`: seconds since 1970, where it isn't now. */
export type NewEnding = Pick<Ending, 'kind' | 'id' | 'tenant'> & { readonly lives?: number; readonly at?: number };

/**
 * Tells every broker that something has ended, for good: each refuses it within 2 s. Written before it is destroyed, so that whoever is
 * interrupted leaves too much refused rather than too little; the same call again does what is missing.
 * @param now Vault's clock, ms since 1970
 * @throws {PosternError} conflict after 50 lost races; misconfigured; temporarily_unavailable
 */
export async function announceEndings(
  access: VaultAccess,
  now: number,
  endings: readonly NewEnding[],
  path: string = ENDINGS_PATH,
): Promise<void> {
  if (access.announcer !== undefined) return access.announcer.ended(endings);
  const made = endings.map(({ kind, id, tenant, lives = MAX_TOKEN_TTL, at: from = now / 1000 }): Ending => {
    const at = Math.ceil(from) + SKEW;
    return { kind, id, tenant, at, until: at + Math.max(lives + MARGIN, kind === 'credential' ? KEPT : kind === 'owner' ? KEPT_OWNER : 0) };
  });
  // Many at once, of a tenant with a thousand credentials, come piece by piece: each fits beside the others.
  for (let from = 0; from < made.length; from += MAX_RECENT / 2) await append(access, path, made.slice(from, from + MAX_RECENT / 2));
}

function append(access: VaultAccess, path: string, made: readonly Ending[]): Promise<void> {
  return checkAndSet(access.clock, async () => {
    const { before, version } = await readValid(access, path, endingsDocument, { serial: 0, recent: [] });
    let { recent } = before;
    if (recent.length + made.length > MAX_RECENT) {
      const old = recent.slice(0, recent.length + made.length - MAX_RECENT / 2);
      // Before they leave the list: interrupted in between, they stand in both.
      await archive(access, path, old);
      recent = recent.slice(old.length);
    }
    const after = { ...before, serial: before.serial + made.length, recent: [...recent, ...made] };
    return async () =>
      void (await access.call('announce what has ended', ({ documents, as }) => documents.write(path, after, version, as)));
  });
}

/**
 * Notes that credentials whose end was announced are destroyed: it is known for the usual time from now on, no longer for as long as they
 * could live. Those that are not named stay known for that long, so that none is good again whose destruction failed.
 */
export async function settleEndings(access: VaultAccess, ids: readonly string[], path: string = ENDINGS_PATH): Promise<void> {
  if (access.announcer !== undefined) return access.announcer.destroyed(ids);
  const gone = new Set(ids);
  const settled = (endings: readonly Ending[]): Ending[] =>
    endings.map((one) => (one.kind === 'credential' && gone.has(one.id) ? { ...one, until: Math.min(one.until, one.at + KEPT) } : one));
  const recent = await checkAndSet(access.clock, async () => {
    const { before, version } = await readValid(access, path, endingsDocument, { serial: 0, recent: [] });
    const after = { ...before, recent: settled(before.recent) };
    return async () => {
      if (after.recent.some(({ until }, at) => until !== before.recent[at]?.until))
        await access.call('note what is destroyed', ({ documents, as }) => documents.write(path, after, version, as));
      return new Set(after.recent.map(({ id }) => id));
    };
  });
  const archived = new Set(ids.filter((id) => !recent.has(id)).map((id) => endingShardPath(id, path)));
  for (const shard of archived)
    await checkAndSet(access.clock, async () => {
      const { before, version } = await readValid(access, shard, endingShardDocument, { ended: [] });
      const ended = settled(before.ended);
      return async () => {
        if (ended.some(({ until }, at) => until !== before.ended[at]?.until))
          await access.call('note what is destroyed', ({ documents, as }) => documents.write(shard, { ended }, version, as));
      };
    });
}

/** Whether the credential may be there still: nobody has noted its destruction, and it could live for longer than the usual time. */
export function isUnsettled({ kind, at, until }: Ending): boolean {
  return kind === 'credential' && until > at + KEPT;
}

/** Tells every broker to verify these keys anew: a rotation ends them, and its record, which they read then, says when. */
export function announceRotated(access: VaultAccess, keyIds: readonly string[], path: string): Promise<void> {
  return checkAndSet(access.clock, async () => {
    const { before, version } = await readValid(access, path, endingsDocument, { serial: 0, recent: [] });
    const { serial, keys } = before.rotated ?? { serial: 0, keys: [] };
    const rotated = { serial: serial + keyIds.length, keys: [...keys, ...keyIds].slice(-MAX_ROTATED) };
    return async () =>
      void (await access.call('announce the end of a key', ({ documents, as }) =>
        documents.write(path, { ...before, rotated }, version, as),
      ));
  });
}

/** A clock that is ahead must not throw out what still counts. Seconds since 1970. */
function hasPassed(access: VaultAccess, until: number): boolean {
  return until * 1000 <= access.earliest;
}

async function archive(access: VaultAccess, path: string, old: readonly Ending[]): Promise<void> {
  const shards = Map.groupBy(
    old.filter(({ until }) => !hasPassed(access, until)),
    ({ id }) => endingShardPath(id, path),
  );
  for (const [shard, those] of shards) await addTo(access, shard, those);
}

function addTo(access: VaultAccess, path: string, those: readonly Ending[]): Promise<void> {
  return checkAndSet(access.clock, async () => {
    const { before, version } = await readValid(access, path, endingShardDocument, { ended: [] });
    const byName = new Map([...before.ended, ...those].map((ending) => [`${ending.kind} ${ending.id}`, ending]));
    const ended = [...byName.values()].filter(({ until }) => !hasPassed(access, until)).sort((a, b) => a.until - b.until);
    // Those whose tokens are over are kept only for the case of a restore.
    const kept = ended.slice(-MAX_IN_SHARD);
    const dropped = ended.slice(0, ended.length - kept.length);
    if (dropped.some(({ at }) => at > access.earliest / 1000 - MAX_TOKEN_TTL - MARGIN))
      throw new PosternError(
        'temporarily_unavailable',
        `${path} in Vault is full: ${MAX_IN_SHARD} credentials in it ended within an hour`,
        {
          detail: 'Try again later: none is forgotten while its tokens live.',
        },
      );
    return async () =>
      void (await access.call('keep what has ended', ({ documents, as }) => documents.write(path, { ended: kept }, version, as)));
  });
}

/** @returns what is there (`none` where nothing is), and its version for check-and-set. @throws {PosternError} misconfigured */
async function readValid<T>(access: VaultAccess, path: string, document: z.ZodType<T>, none: T): Promise<{ before: T; version: number }> {
  const { data, version } = await access.call('read what has ended', ({ documents, as }) => documents.read(path, as));
  const parsed = document.safeParse(data ?? none);
  if (!parsed.success) throw invalid(access, path, version);
  return { before: parsed.data, version };
}

function invalid(access: VaultAccess, path: string, version: number): PosternError {
  return new PosternError('misconfigured', `${access.mounts.kv}/${path} in Vault is not valid`, {
    detail:
      `Brokers can't read it either. Restore an older version: vault kv rollback -mount=${access.mounts.kv} ` +
      `-version=${Math.max(1, version - 1)} ${path}`,
  });
}
