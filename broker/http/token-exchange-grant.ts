import { JWT_TOKEN_TYPES, TrustedToken } from '#broker/credential/trusted-token.ts';
import { SubjectToken, VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { badSubject } from '#broker/credential/subject-tokens.ts';
import { PosternError } from '#broker/error.ts';
import { TOKEN_PARAMETERS } from './grant.ts';
import type { TokenGrant } from './grant.ts';
import { optional, required } from './parameter.ts';
import type { Sent } from './parameter.ts';
import { asInvalidTarget, targetOf } from './resource.ts';
import type { Call } from './route.ts';
import { refuseSubject, trustedSubject } from './trusted-subject.ts';

const TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
/** RFC 8693 §3: what is issued is a JWT and an access token, so both names are right. */
const ISSUED: ReadonlySet<string> = new Set([ACCESS_TOKEN, JWT]);

/** What may be exchanged. */
const SUBJECTS: readonly string[] = [VAULT_TOKEN_TYPE, ...JWT_TOKEN_TYPES];

/** RFC 8693: a Vault token, or a JWT of an issuer that its tenant trusts, for an access token that it lacks. */
export const tokenExchangeGrant: TokenGrant = {
  type: TYPE,
  title: 'Token exchange',
  door: 'exchange',
  parameters: {
    grant_type: { description: 'RFC 8693 §2.1.', required: true, value: TYPE },
    subject_token: { description: 'A Vault token of the tenant, or a JWT of an issuer that it trusts.', required: true },
    subject_token_type: {
      description: `One of ${SUBJECTS.map((type) => `\`${type}\``).join(', ')}.`,
      required: true,
      examples: [VAULT_TOKEN_TYPE],
    },
    requested_token_type: { description: `\`${ACCESS_TOKEN}\` or \`${JWT}\`: it is both.` },
    ...TOKEN_PARAMETERS,
    client_id: { description: "Refused where it isn't the tenant's. Needed only where several tenants trust one JWT." },
    actor_token: { description: 'Not supported: refused.', refused: true },
    actor_token_type: { description: 'Not supported: refused.', refused: true },
    client_secret: { description: 'Refused: the subject_token is the credential.', refused: true },
    client_assertion: { description: 'Refused: the subject_token is the credential.', refused: true },
    client_assertion_type: { description: 'Refused: the subject_token is the credential.', refused: true },
  },
  read(call, sent) {
    refuseClientAuthentication(call, sent);
    refuseActor(sent);
    issuedType(sent);
    return {
      credential: subjectOf(sent),
      request: {
        audience: targetOf(sent),
        scope: optional(sent, 'scope'),
        organization: optional(sent, 'organization'),
        clientId: optional(sent, 'client_id'),
      },
    };
  },
  refuse: (error, _sent, credential) => (credential instanceof TrustedToken ? refuseSubject(error, credential) : asInvalidTarget(error)),
  members: (sent) => `,"issued_token_type":"${issuedType(sent)}"`,
};

/** The subject token is the whole credential; another beside it would be taken for one that was checked. */
function refuseClientAuthentication({ request }: Call, sent: Sent): void {
  const more =
    request.headers.authorization !== undefined ||
    ['client_secret', 'client_assertion', 'client_assertion_type'].some((name) => optional(sent, name) !== undefined);
  if (more) throw new PosternError('invalid_request', 'The subject_token is the credential: send no client authentication beside it');
}

function refuseActor(sent: Sent): void {
  if (optional(sent, 'actor_token') !== undefined || optional(sent, 'actor_token_type') !== undefined) {
    throw new PosternError('invalid_request', 'actor_token is not supported: nobody acts for somebody else here');
  }
}

function issuedType(sent: Sent): string {
  const type = optional(sent, 'requested_token_type') ?? ACCESS_TOKEN;
  if (!ISSUED.has(type)) throw new PosternError('invalid_request', `Unsupported requested_token_type: use ${ACCESS_TOKEN} or ${JWT}`);
  return type;
}

function subjectOf(sent: Sent): SubjectToken | TrustedToken {
  const token = required(sent, 'subject_token');
  const type = required(sent, 'subject_token_type');
  if (!SUBJECTS.includes(type)) throw new PosternError('invalid_request', `Unsupported subject_token_type: use ${SUBJECTS.join(' or ')}`);
  if (type !== VAULT_TOKEN_TYPE) return trustedSubject(token, { clientId: optional(sent, 'client_id'), once: false });
  const subject = SubjectToken.of(token);
  if (subject === undefined)
    throw badSubject("The subject_token isn't a Vault token: it may hold no spaces and no line break, and is no JWT");
  return subject;
}
