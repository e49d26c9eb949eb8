import type { IncomingMessage } from 'node:http';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { wrongCredential } from '#broker/credential/login.ts';
import { PosternError } from '#broker/error.ts';
import { decodeFormComponent } from './body.ts';
import type { Parameters } from './body.ts';

/**
 * The client's credential, by `client_secret_basic` or `client_secret_post` (RFC 6749 §2.3.1).
 * @throws {PosternError} invalid_request for two methods at once or none; invalid_client for what can be no credential
 */
export function clientCredential(request: IncomingMessage, parameters: Parameters): AppRoleCredential {
  const header = request.headers.authorization;
  if (parameters.has('client_assertion') || parameters.has('client_assertion_type')) {
    throw new PosternError('invalid_request', 'client_assertion is not supported: authenticate with client_secret_post or client_secret_basic');
  }
  const id = parameters.get('client_id') ?? '';
  const secret = parameters.get('client_secret') ?? '';
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
