import type { Asked } from '#broker/listener/whole-request.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { ASSERTION_TYPE, ClientAssertion } from '#broker/credential/assertion.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { ClientCredential } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import { decodeFormComponent } from './body.ts';
import { optional } from './parameter.ts';
import type { Parameters, Sent } from './parameter.ts';

/** As metadata names them (RFC 8414 `token_endpoint_auth_methods_supported`). */
export const CLIENT_AUTHENTICATION_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const;

/** By which a client authenticates in the body. */
export const CLIENT_PARAMETERS: Parameters = {
  client_id: { description: '`role_id` of the tenant; with client_secret_post and private_key_jwt.' },
  client_secret: { description: '`secret_id`; with client_secret_post.' },
  client_assertion: { description: 'A JWT signed by the client; with private_key_jwt (RFC 7523 §2.2).' },
  client_assertion_type: { description: `\`${ASSERTION_TYPE}\`, with client_assertion.` },
};

/**
 * The client's credential at an endpoint that Auth0 doesn't have or documents with 401: without authentication it is that, whatever the
 * dialect.
 * @throws {PosternError} as {@link clientCredential} does
 */
export function requiredCredential(request: Asked, sent: Sent): ClientCredential {
  if (isAnonymous(request, sent)) throw wrongCredential();
  return clientCredential(request, sent);
}

function isAnonymous({ headers }: Asked, sent: Sent): boolean {
  return headers.authorization === undefined && Object.keys(CLIENT_PARAMETERS).every((name) => optional(sent, name) === undefined);
}

/**
 * The client's credential, by `client_secret_basic`, `client_secret_post` (RFC 6749 §2.3.1) or `private_key_jwt` (RFC 7523 §2.2).
 * @throws {PosternError} no_client for none; invalid_request for two methods at once; invalid_client for what can't be a credential
 */
export function clientCredential(request: Asked, sent: Sent): ClientCredential {
  const header = request.headers.authorization;
  const id = sent.get('client_id') ?? '';
  const secret = sent.get('client_secret') ?? '';
  const assertion = sent.get('client_assertion') ?? '';
  const assertionType = sent.get('client_assertion_type') ?? '';
  if (assertion !== '' || assertionType !== '') {
    if (secret !== '' || header !== undefined)
      throw new PosternError('invalid_request', 'More than one client authentication method was used');
    return assertionOf(assertionType, assertion, id);
  }
  if (header === undefined) {
    if (id === '') throw new PosternError(secret === '' ? 'no_client' : 'invalid_request', 'Missing required parameter: client_id');
    if (secret === '') throw wrongCredential();
    return credentialOf(id, secret);
  }
  if (secret !== '') throw new PosternError('invalid_request', 'More than one client authentication method was used');
  const basic = parseBasic(header);
  if (id !== '' && id !== basic.id) throw new PosternError('invalid_request', 'client_id differs from the one in the Authorization header');
  return credentialOf(basic.id, basic.secret);
}

function assertionOf(type: string, text: string, id: string): ClientAssertion {
  if (text === '') throw new PosternError('invalid_request', 'Missing required parameter: client_assertion');
  if (type === '') throw new PosternError('invalid_request', 'Missing required parameter: client_assertion_type');
  if (type !== ASSERTION_TYPE) throw new PosternError('invalid_request', `Unsupported client_assertion_type: use ${ASSERTION_TYPE}`);
  const assertion = ClientAssertion.of(text);
  if (assertion === undefined) throw wrongCredential();
  // RFC 7521 §4.2: client_id is not needed, and must be the same where it is there.
  if (id !== '' && id !== assertion.clientId) throw wrongCredential();
  return assertion;
}

function credentialOf(id: string, secret: string): AppRoleCredential {
  const credential = AppRoleCredential.of(id, secret);
  if (credential === undefined) throw wrongCredential();
  return credential;
}

/** RFC 7617, with both parts form-encoded first (RFC 6749 §2.3.1). */
function parseBasic(header: string): { id: string; secret: string } {
  const match = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header);
  if (match?.[1] === undefined) throw wrongCredential();
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) throw wrongCredential();
  try {
    return { id: decodeFormComponent(text.slice(0, colon)), secret: decodeFormComponent(text.slice(colon + 1)) };
  } catch {
    throw wrongCredential();
  }
}
