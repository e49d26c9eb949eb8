import type { Withdrawal } from '#broker/token/withdrawal.ts';
import { presentedTokenRoute } from './presented-token.ts';
import type { PresentedTokenOptions } from './presented-token.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface RevocationEndpointOptions extends PresentedTokenOptions {
  withdrawal: Pick<Withdrawal, 'run'>;
}

/**
 * `POST /oauth/revoke` (RFC 7009), named as at Auth0. The same empty 200 for a token that was revoked, was another's or never existed
 * (§2.2).
 */
export function revocationEndpoint({ withdrawal, ...options }: RevocationEndpointOptions): Route {
  return presentedTokenRoute('/oauth/revoke', 'token.revocation', options, async (identity, accessToken, trace) => {
    const outcome = await withdrawal.run(identity, accessToken, trace);
    return { outcome, reply: (call) => replyJson(call, 200, '', ['Cache-Control', 'no-store', 'Pragma', 'no-cache']) };
  });
}
