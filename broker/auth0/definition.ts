import type { Clocks } from '#broker/clock.ts';
import type { ConfiguredSource } from '#broker/token/source.ts';
import type { Meter } from '#broker/quota/meter.ts';
import type { UpstreamReader } from '#broker/token/upstream.ts';
import type { BindingMode } from './binding.ts';
import { Auth0Judge } from './judge.ts';
import { settings } from './settings.ts';
import { Auth0Source } from './source.ts';

const name = 'auth0';

interface Settings {
  readonly POSTERN_AUTH0_ISSUER?: string | undefined;
  readonly POSTERN_AUTH0_BINDING: BindingMode;
  readonly POSTERN_AUTH0_TIMEOUT: number;
}

interface Surroundings {
  readonly tenantClaim: string;
  readonly upstream: (source: string) => UpstreamReader;
  readonly meter?: Meter | undefined;
  readonly clock?: Clocks | undefined;
  /** The clock by which ends what Auth0 stamps, ms since 1970. Default: this machine's. */
  readonly latest?: (() => number) | undefined;
  readonly fetch?: typeof fetch | undefined;
}

/** The token source Auth0: one shared M2M application serves all tenants. */
export const auth0 = {
  name,
  settings,

  configure(
    { POSTERN_AUTH0_ISSUER: issuer, POSTERN_AUTH0_BINDING: binding, POSTERN_AUTH0_TIMEOUT: timeout }: Settings,
    { tenantClaim, upstream, meter, clock = {}, latest = clock.now, fetch: by }: Surroundings,
  ): ConfiguredSource | undefined {
    if (issuer === undefined) return undefined;
    const timeoutMs = timeout * 1000;
    const source = new Auth0Source({
      ...clock,
      issuer,
      upstream: upstream(name),
      binding,
      tenantClaim,
      timeoutMs,
      meter,
      latest,
      fetch: by,
    });
    const judge = new Auth0Judge({ ...clock, now: latest, issuer, clientId: () => source.clientId(), timeoutMs, fetch: by });
    return {
      name,
      issuer,
      source,
      judge,
      metered: true,
      calls: () => source.calls,
      available: () => source.available,
      hasWithdrawn: (kid) => source.hasWithdrawn(kid),
      clock: source.clock,
      askTime: () => source.askTime(),
    };
  },

  /** Loaded only where it is used: Auth0's Management client is large. */
  checks: async () => ({ name, ...(await import('./doctor.ts')).auth0Checks }),
};
