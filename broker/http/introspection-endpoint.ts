import { activeAnswer } from '#broker/token/introspection.ts';
import type { Introspection } from '#broker/token/introspection.ts';
import { presentedTokenRoute } from './presented-token.ts';
import type { PresentedTokenOptions } from './presented-token.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface IntrospectionEndpointOptions extends PresentedTokenOptions {
  introspection: Pick<Introspection, 'run'>;
  /** The namespaced claim that names the tenant. */
  tenantClaim: string;
}

/** RFC 7662 §2.2: all that is not active looks like this, whatever the reason. */
const INACTIVE = '{"active":false}';

/** `POST /oauth/introspect` (RFC 7662). */
export function introspectionEndpoint({ introspection, tenantClaim, ...options }: IntrospectionEndpointOptions): Route {
  return presentedTokenRoute('/oauth/introspect', 'token.introspection', options, async (identity, accessToken, trace) => {
    const found = await introspection.run(identity, accessToken, trace);
    if (typeof found === 'string') return { outcome: found, reply: (call) => replyJson(call, 200, INACTIVE) };
    return { outcome: 'active', reply: (call) => replyJson(call, 200, JSON.stringify(activeAnswer(found, tenantClaim))) };
  });
}
