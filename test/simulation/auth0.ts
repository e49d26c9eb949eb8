import { JWK, signedJwt } from './crypto.ts';
import { EPOCH } from './timeline.ts';
import type { Timeline } from './timeline.ts';

export const ISSUER = 'https://simulated.example.com/';
export const TENANT_CLAIM = 'https://postern.dev/tenant';
export const UPSTREAM = { client_id: 'shared-application', client_secret: 'shared-secret' };

/** A token that Auth0 has made, whether or not it arrived. */
export interface Minted {
  readonly tenant: string;
  readonly audience: string;
  readonly scope: string;
  readonly token: string;
  readonly iat: number;
  readonly exp: number;
}

/** Auth0's token endpoint and key set: no quota, no judgement but of the shared application's secret. */
export class SimulatedAuth0 {
  readonly #timeline: Timeline;
  /** Seconds. */
  readonly #lifetime: number;
  #serial = 0;

  constructor(timeline: Timeline, lifetime: number) {
    this.#timeline = timeline;
    this.#lifetime = lifetime;
  }

  get keys(): object {
    return { keys: [JWK] };
  }

  /** @returns undefined: it refuses */
  mint(body: URLSearchParams): Minted | undefined {
    if (body.get('client_id') !== UPSTREAM.client_id || body.get('client_secret') !== UPSTREAM.client_secret) return undefined;
    const [tenant = '', audience = '', scope = ''] = ['postern_tenant', 'audience', 'scope'].map((name) => body.get(name) ?? '');
    const iat = Math.floor((EPOCH + this.#timeline.now) / 1000);
    const exp = iat + this.#lifetime;
    const token = signedJwt({
      iss: ISSUER,
      sub: `${UPSTREAM.client_id}@clients`,
      aud: audience,
      azp: UPSTREAM.client_id,
      gty: 'client-credentials',
      iat,
      exp,
      scope,
      serial: ++this.#serial,
      [TENANT_CLAIM]: tenant,
    });
    return { tenant, audience, scope, token, iat, exp };
  }
}
