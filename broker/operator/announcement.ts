import { NO_ANNOUNCEMENTS } from '#broker/credential/announcements.ts';
import type { Announcements } from '#broker/credential/announcements.ts';
import { PosternError } from '#broker/error.ts';
import { ANNOUNCEMENTS_PATH, announcementsDocument } from '#broker/vault/announcements.ts';
import type { VaultAccess } from './access.ts';
import { checkAndSet } from './check-and-set.ts';

/** Announcements kept in the document; a broker that missed more forgets all that it remembers. */
const RECENT = 64;

/** What an announcement says beside "this tenant changed". */
export type Change = 'changed' | 'disable' | 'enable' | 'replayed';

/** @throws {PosternError} misconfigured where the document is not valid */
export async function readAnnouncements(access: VaultAccess): Promise<Announcements> {
  return (await readVersion(access)).epoch;
}

/**
 * Tells every broker that a tenant changed: each forgets what it remembers of it within 2 s. Written by check-and-set, so
 * that no announcement is lost when several operators announce at once.
 * @returns the epoch as written
 * @throws {PosternError} conflict after 50 lost races
 */
export function announce(access: VaultAccess, tenant: string, change: Change = 'changed'): Promise<Announcements> {
  // Whoever may not announce has ended credentials one by one, each of which is announced by its id.
  if (access.announcer !== undefined) return Promise.resolve(NO_ANNOUNCEMENTS);
  return checkAndSet(access.clock, async () => {
    const { epoch: before, version } = await readVersion(access);
    const after = nextAnnouncements(before, tenant, change, access.clock.now());
    return async () => {
      await access.call(`announce the change of ${tenant}`, ({ documents, as }) =>
        documents.write(ANNOUNCEMENTS_PATH, { ...after }, version, as),
      );
      return after;
    };
  });
}

/** Tells every broker that a rotation gave a key an end: it is verified anew within 2 s. @throws {PosternError} as {@link announce} */
export async function announceRotation(access: VaultAccess, tenant: string, keyId: string): Promise<void> {
  await (access.announcer === undefined ? announce(access, tenant) : access.announcer.rotated(keyId));
}

/** @param at ms since 1970 */
export function nextAnnouncements(before: Announcements, tenant: string, change: Change, at: number): Announcements {
  const epoch = before.epoch + 1;
  const others = before.disabled.filter((one) => one !== tenant);
  const disabled =
    change === 'changed' || change === 'replayed' ? before.disabled : change === 'disable' ? [...others, tenant].sort() : others;
  return { epoch, disabled, recent: [...before.recent, { epoch, tenant, change, at }].slice(-RECENT) };
}

async function readVersion(access: VaultAccess): Promise<{ epoch: Announcements; version: number }> {
  const { data, version } = await access.call('read the announcements', ({ documents, as }) => documents.read(ANNOUNCEMENTS_PATH, as));
  // Deleted by somebody: counting goes on from the version, which only grows, so that brokers see something new.
  if (data === undefined) return { epoch: { ...NO_ANNOUNCEMENTS, epoch: version }, version };
  const parsed = announcementsDocument.safeParse(data);
  if (parsed.success) return { epoch: parsed.data, version };
  throw new PosternError('misconfigured', `${access.mounts.kv}/${ANNOUNCEMENTS_PATH} in Vault is not valid`, {
    detail:
      `Brokers can't read it either. Restore an older version: vault kv rollback -mount=${access.mounts.kv} ` +
      `-version=${Math.max(1, version - 1)} ${ANNOUNCEMENTS_PATH}`,
  });
}
