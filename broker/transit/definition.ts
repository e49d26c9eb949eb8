import type { Clocks } from '#broker/clock.ts';
import type { ConfiguredSource } from '#broker/token/source.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { TransitJudge } from './judge.ts';
import { TransitKeys } from './keys.ts';
import { settings } from './settings.ts';
import { TransitSource } from './source.ts';

const name = 'transit';

interface Settings {
  readonly POSTERN_TRANSIT_MOUNT: string;
  readonly POSTERN_TRANSIT_KEY: string;
}

interface Surroundings {
  readonly client: VaultClient;
  readonly session: VaultSession;
  readonly issuer: string;
  readonly tenantClaim: string;
  readonly jwksMaxAgeMs: number;
  readonly clock?: Clocks | undefined;
  readonly warn: (error: unknown, message: string) => void;
}

/** The token source Vault transit: the broker itself is the issuer. */
export const transit = {
  name,
  settings,

  configure({ POSTERN_TRANSIT_MOUNT: mount, POSTERN_TRANSIT_KEY: key }: Settings, surroundings: Surroundings): ConfiguredSource {
    const { client, session, issuer, tenantClaim, jwksMaxAgeMs, clock, warn } = surroundings;
    // By Vault's clock, whose key signs: what one replica makes, all others judge.
    const now = (): number => client.clock.theirs;
    const onError = (error: unknown): void => warn(error, 'the transit keys could not be read again');
    const keys = new TransitKeys({ client, session, mount, key, jwksMaxAgeMs, onError, ...clock, now });
    const source = new TransitSource({ client, session, keys, mount, key, tenantClaim, now });
    return { name, issuer, source, judge: new TransitJudge({ issuer, keys, now: () => client.clock.theirsAtLatest }), keys };
  },

  checks: async () => ({ name, ...(await import('./doctor.ts')).transitChecks }),
};
