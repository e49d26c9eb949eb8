import type { Endings } from '#broker/credential/endings.ts';
import { departureId } from '#broker/credential/owner.ts';
import type { Departure } from '#broker/credential/owner.ts';
import { DEPARTURES_PATH } from '#broker/vault/endings.ts';
import type { Announcer, VaultAccess } from './access.ts';
import { announceEndings, announceRotated, settleEndings } from './ending.ts';
import type { NewEnding } from './ending.ts';

/** What stands for "no tenant" where an ending must name one: a person's departure is about all. */
const ANY = 'any';

/**
 * Announces who left, so that every broker refuses their keys within 2 s. Those that are known already are not written again, so that a
 * delivery may be repeated as often as anybody likes.
 * @param now Vault's clock, ms since 1970
 * @returns how many were news
 * @throws {PosternError} temporarily_unavailable, misconfigured
 */
export async function announceDepartures(
  access: VaultAccess,
  known: Pick<Endings, 'knownAt'>,
  departures: readonly Departure[],
  now: number = Date.now(),
): Promise<number> {
  const latest = new Map<string, number>();
  for (const { owner, organization, at, only } of departures) {
    const id = departureId(owner, organization, only);
    if (at > (known.knownAt('owner', id) ?? -Infinity)) latest.set(id, Math.max(at, latest.get(id) ?? 0));
  }
  if (latest.size > 0)
    await announceEndings(
      access,
      now,
      [...latest].map(([id, at]) => ({ kind: 'owner', id, tenant: ANY, at })),
      DEPARTURES_PATH,
    );
  return latest.size;
}

/**
 * For people who may end their own keys and tell nobody: a broker announces it with its own token. All brokers write one document, so
 * what comes while it is being written goes into the next write together: however many revoke at once, each broker writes one at a time.
 */
export function ownAnnouncer(asBroker: <T>(work: (access: VaultAccess) => Promise<T>) => Promise<T>, now: () => number): Announcer {
  let waiting: NewEnding[] = [];
  let [rotated, destroyed]: [string[], string[]] = [[], []];
  let next: Promise<void> | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    const [those, keys, gone] = [waiting, rotated, destroyed];
    [waiting, rotated, destroyed] = [[], [], []];
    next = undefined;
    const written = asBroker(async (access) => {
      if (those.length > 0) await announceEndings(access, now(), those, DEPARTURES_PATH);
      if (keys.length > 0) await announceRotated(access, keys, DEPARTURES_PATH);
      if (gone.length > 0) await settleEndings(access, gone, DEPARTURES_PATH);
    });
    // The next ones don't fail with these.
    writing = written.catch(() => {});
    return written;
  };
  return {
    ended(endings) {
      // Nothing else can come from somebody who reaches API keys alone.
      const those = endings.filter(({ kind }) => kind === 'credential');
      if (those.length === 0) return Promise.resolve();
      waiting.push(...those);
      next ??= writing.then(write);
      return next;
    },
    destroyed(ids) {
      destroyed.push(...ids);
      next ??= writing.then(write);
      return next;
    },
    rotated(keyId) {
      rotated.push(keyId);
      next ??= writing.then(write);
      return next;
    },
  };
}
