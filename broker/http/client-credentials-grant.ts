import { optional } from './body.ts';
import { clientCredential } from './client-authentication.ts';
import type { TokenGrant } from './grant.ts';

/** RFC 6749 §4.4. */
export const clientCredentialsGrant: TokenGrant = {
  type: 'client_credentials',
  door: 'token',
  run({ request, address }, parameters, run) {
    const credential = clientCredential(request, parameters);
    run.clientId = credential.clientId;
    return run.exchange.run(
      credential,
      {
        audience: optional(parameters, 'audience'),
        scope: optional(parameters, 'scope'),
        organization: optional(parameters, 'organization'),
      },
      address,
      run.trace,
    );
  },
  members: () => '',
};
