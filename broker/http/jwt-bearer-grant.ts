import { PosternError } from '#broker/error.ts';
import { TrustedToken } from '#broker/credential/trusted-token.ts';
import { TOKEN_PARAMETERS } from './grant.ts';
import type { TokenGrant } from './grant.ts';
import { optional, required } from './parameter.ts';
import { targetOf } from './resource.ts';
import { refuseSubject, trustedSubject } from './trusted-subject.ts';

const TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const REFUSED = { description: 'Refused: the assertion is the credential.', refused: true };

/** RFC 7523 §2.1: an OIDC token that the workload already has, from an issuer that its tenant trusts. Good once where it has a jti. */
export const jwtBearerGrant: TokenGrant = {
  type: TYPE,
  title: 'JWT bearer',
  door: 'jwt-bearer',
  parameters: {
    grant_type: { description: 'RFC 7523 §2.1.', required: true, value: TYPE },
    assertion: { description: 'A JWT of an issuer that the tenant trusts.', required: true },
    client_id: { description: 'Names the tenant; needed only where several trust one token.' },
    ...TOKEN_PARAMETERS,
    client_secret: REFUSED,
    client_assertion: REFUSED,
    client_assertion_type: REFUSED,
  },
  read({ request }, sent) {
    const more = ['client_secret', 'client_assertion', 'client_assertion_type'].some((name) => optional(sent, name) !== undefined);
    if (more || request.headers.authorization !== undefined)
      throw new PosternError('invalid_request', 'The assertion is the credential: send no client authentication beside it');
    const clientId = optional(sent, 'client_id');
    return {
      credential: trustedSubject(required(sent, 'assertion'), { clientId, once: true }),
      request: { audience: targetOf(sent), scope: optional(sent, 'scope'), organization: optional(sent, 'organization'), clientId },
    };
  },
  refuse: (error, _sent, credential) => (credential instanceof TrustedToken ? refuseSubject(error, credential) : raise(error)),
  members: () => '',
};

function raise(error: unknown): never {
  throw error;
}
