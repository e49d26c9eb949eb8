import type { IncomingMessage } from 'node:http';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { ASSERTION_TYPE, ClientAssertion } from '#broker/credential/assertion.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { ClientCredential, CredentialVerifier } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import { decodeFormComponent } from './body.ts';
import type { Parameters } from './body.ts';
import type { Call } from './route.ts';

/** As metadata names them (RFC 8414 `token_endpoint_auth_methods_supported`). */
export const CLIENT_AUTHENTICATION_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const;

/**
 * Who the client is: for every endpoint at which a client authenticates.
 * @throws {PosternError} as {@link clientCredential} and the verifier do
 */
export function identify(
  { request, address }: Call,
  parameters: Parameters,
  verifier: CredentialVerifier,
  again = false,
): Identity | Promise<Identity> {
  return verifier.verify(clientCredential(request, parameters), address, again);
}

/**
 * The client's credential, by `client_secret_basic`, `client_secret_post` (RFC 6749 §2.3.1) or `private_key_jwt` (RFC 7523 §2.2).
 * @throws {PosternError} invalid_request for two methods at once or none; invalid_client for what can be no credential
 */
export function clientCredential(request: IncomingMessage, parameters: Parameters): ClientCredential {
  const header = request.headers.authorization;
  const id = parameters.get('client_id') ?? '';
  const secret = parameters.get('client_secret') ?? '';
  const assertion = parameters.get('client_assertion') ?? '';
  const assertionType = parameters.get('client_assertion_type') ?? '';
  if (assertion !== '' || assertionType !== '') {
    if (secret !== '' || header !== undefined)
      throw new PosternError('invalid_request', 'More than one client authentication method was used');
    return assertionOf(assertionType, assertion, id);
  }
  if (header === undefined) {
    if (id === '') throw new PosternError('invalid_request', 'Missing required parameter: client_id');
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
