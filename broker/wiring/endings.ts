import { Endings } from '#broker/credential/endings.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { Logger } from '#broker/log.ts';
import { DEPARTURES_PATH, VaultEndings } from '#broker/vault/endings.ts';
import type { ConnectedVault } from './vault.ts';

/** What ended must be known before anybody is verified, so it is made first. */
export function knownEndings(
  log: Logger,
  { client, watched, session, clock }: ConnectedVault,
  generations: Generations,
  forget: (tenant: string) => void,
): Endings {
  return new Endings({
    ...clock,
    earliest: () => client.clock.earliest,
    reader: new VaultEndings(watched, session),
    onEnding: ({ tenant }) => {
      forget(tenant);
      generations.changed(tenant);
    },
    onRestored: (from, to) =>
      log.error({ from, to }, 'state/ended went back: Vault was restored to an older state; all that is known as ended stays so'),
  });
}

/** What brokers announce themselves: people who left, and keys that their owners revoked. */
export function knownDepartures(
  log: Logger,
  { client, watched, session, clock }: ConnectedVault,
  generations: Generations,
  forget: (gone: (identity: Identity) => boolean) => void,
): Endings {
  const departures = new Endings({
    ...clock,
    earliest: () => client.clock.earliest,
    reader: new VaultEndings(watched, session, DEPARTURES_PATH),
    onEnding: () => {
      forget((identity) => departures.includes(identity));
      generations.allChanged();
    },
    onRestored: (from, to) =>
      log.error({ from, to }, 'state/departures went back: Vault was restored to an older state; who is known to have left stays so'),
    onRotated: (keyIds) => {
      const rotated = keyIds === undefined ? undefined : new Set(keyIds);
      forget(({ owner, keyId }) => (rotated === undefined ? owner !== undefined : keyId !== undefined && rotated.has(keyId)));
      generations.allChanged();
    },
  });
  return departures;
}
