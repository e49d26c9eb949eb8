import { SubjectToken, VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { badSubject } from '#broker/credential/subject-tokens.ts';
import { PosternError } from '#broker/error.ts';
import type { Served } from '#broker/token/cache.ts';
import { optional } from './body.ts';
import type { Parameters } from './body.ts';
import type { GrantRun, TokenGrant } from './grant.ts';
import type { Call } from './route.ts';

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
/** RFC 8693 §3: what is issued is a JWT and an access token, so both names are right. */
const ISSUED: ReadonlySet<string> = new Set([ACCESS_TOKEN, JWT]);

/** RFC 8693: a Vault token that the workload already has, for an access token that it lacks. */
export const tokenExchangeGrant: TokenGrant = {
  type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  door: 'exchange',
  run(call, parameters, run) {
    refuseClientAuthentication(call, parameters);
    refuseActor(parameters);
    issuedType(parameters);
    const audience = targetOf(parameters);
    return exchanged(subjectOf(parameters), audience, call, parameters, run);
  },
  members: (parameters) => `,"issued_token_type":"${issuedType(parameters)}"`,
};

async function exchanged(
  subject: SubjectToken,
  audience: string | undefined,
  { address }: Call,
  parameters: Parameters,
  run: GrantRun,
): Promise<Served> {
  try {
    return await run.exchange.run(
      subject,
      {
        audience,
        scope: optional(parameters, 'scope'),
        organization: optional(parameters, 'organization'),
        clientId: optional(parameters, 'client_id'),
      },
      address,
      run.trace,
    );
  } catch (error) {
    // RFC 8693 §2.2.2 has a word of its own for a target that this subject gets no token for.
    if (error instanceof PosternError && error.code === 'access_denied')
      throw new PosternError('invalid_target', error.message, error.detail === undefined ? {} : { detail: error.detail });
    throw error;
  }
}

/** The subject token is the whole credential; another beside it would be taken for one that was checked. */
function refuseClientAuthentication({ request }: Call, parameters: Parameters): void {
  const more =
    request.headers.authorization !== undefined ||
    ['client_secret', 'client_assertion', 'client_assertion_type'].some((name) => optional(parameters, name) !== undefined);
  if (more) throw new PosternError('invalid_request', 'The subject_token is the credential: send no client authentication beside it');
}

function refuseActor(parameters: Parameters): void {
  if (optional(parameters, 'actor_token') !== undefined || optional(parameters, 'actor_token_type') !== undefined) {
    throw new PosternError('invalid_request', 'actor_token is not supported: nobody acts for somebody else here');
  }
}

function issuedType(parameters: Parameters): string {
  const type = optional(parameters, 'requested_token_type') ?? ACCESS_TOKEN;
  if (!ISSUED.has(type)) throw new PosternError('invalid_request', `Unsupported requested_token_type: use ${ACCESS_TOKEN} or ${JWT}`);
  return type;
}

function subjectOf(parameters: Parameters): SubjectToken {
  const token = optional(parameters, 'subject_token');
  const type = optional(parameters, 'subject_token_type');
  if (token === undefined) throw new PosternError('invalid_request', 'Missing required parameter: subject_token');
  if (type === undefined) throw new PosternError('invalid_request', 'Missing required parameter: subject_token_type');
  if (type !== VAULT_TOKEN_TYPE) throw new PosternError('invalid_request', `Unsupported subject_token_type: use ${VAULT_TOKEN_TYPE}`);
  const subject = SubjectToken.of(token);
  if (subject === undefined) throw badSubject('The subject_token is no Vault token: it may hold no spaces and no line break');
  return subject;
}

/** `audience` is Auth0's word and `resource` that of RFC 8693 §2.1; a token has one target only. */
function targetOf(parameters: Parameters): string | undefined {
  const audience = optional(parameters, 'audience');
  const resource = optional(parameters, 'resource');
  if (resource === undefined) return audience;
  // RFC 8693 §2.1: an absolute URI without a fragment.
  if (!URL.canParse(resource) || resource.includes('#'))
    throw new PosternError('invalid_target', 'The resource is no absolute URI without a fragment');
  if (audience !== undefined && audience !== resource)
    throw new PosternError('invalid_target', 'A token is issued for one target: audience and resource differ');
  return resource;
}
