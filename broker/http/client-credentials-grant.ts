import { CLIENT_PARAMETERS, clientCredential } from './client-authentication.ts';
import { TOKEN_PARAMETERS } from './grant.ts';
import type { TokenGrant } from './grant.ts';
import { optional } from './parameter.ts';
import { asInvalidTarget, targetOf } from './resource.ts';

const TYPE = 'client_credentials';

/** RFC 6749 §4.4. */
export const clientCredentialsGrant: TokenGrant = {
  type: TYPE,
  title: TYPE,
  door: 'token',
  parameters: {
    grant_type: { description: 'RFC 6749 §4.4.', required: true, value: TYPE },
    ...TOKEN_PARAMETERS,
    ...CLIENT_PARAMETERS,
  },
  read: ({ request }, sent) => ({
    credential: clientCredential(request, sent),
    request: { audience: targetOf(sent), scope: optional(sent, 'scope'), organization: optional(sent, 'organization') },
  }),
  // Who asks by `audience` speaks Auth0's dialect, and hears its word.
  refuse(error, sent) {
    if (optional(sent, 'resource') !== undefined) asInvalidTarget(error);
    throw error;
  },
  members: () => '',
};
