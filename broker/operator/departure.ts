import type { Endings } from '#broker/credential/endings.ts';
import { departureId } from '#broker/credential/owner.ts';
import type { Departure } from '#broker/credential/owner.ts';
import { DEPARTURES_PATH } from '#broker/vault/endings.ts';
import type { Announcer, VaultAccess } from './access.ts';
import { announceEndings } from './ending.ts';

/** What stands for "no tenant" where an ending must name one: a person's departure is about all. */
const ANY = 'any';

/**
 * Announces who left, so that every broker refuses their keys within 2 s. Those that are known already are not written again, so that a
 * delivery may be repeated as often as anybody likes.
 * @returns how many were news
 * @throws {PosternError} temporarily_unavailable, misconfigured
 */
export async function announceDepartures(
  access: VaultAccess,
  known: Pick<Endings, 'knownAt'>,
  departures: readonly Departure[],
): Promise<number> {
  const latest = new Map<string, number>();
  for (const { owner, organization, at, only } of departures) {
    const id = departureId(owner, organization, only);
    if (at > (known.knownAt('owner', id) ?? -Infinity)) latest.set(id, Math.max(at, latest.get(id) ?? 0));
  }
  for (const [at, those] of Map.groupBy(latest, ([, one]) => one)) {
    await announceEndings(
      access,
      at * 1000,
      those.map(([id]) => ({ kind: 'owner', id, tenant: ANY })),
      DEPARTURES_PATH,
    );
  }
  return latest.size;
}

/** For people who may end their own keys and tell nobody: a broker announces it with its own token. */
export function ownAnnouncer(asBroker: <T>(work: (access: VaultAccess) => Promise<T>) => Promise<T>, now: () => number): Announcer {
  return {
    ended: (endings) =>
      asBroker((access) =>
        announceEndings(
          access,
          now(),
          // Nothing else can come from somebody who reaches API keys alone.
          endings.filter(({ kind }) => kind === 'credential'),
          DEPARTURES_PATH,
        ),
      ),
  };
}
