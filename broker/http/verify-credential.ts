import type { IncomingHttpHeaders } from 'node:http';
import { ApiKey } from '#broker/credential/api-key.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';

/** No credential was sent, or one by a scheme that is not ours: RFC 6750 §3.1 wants no error code then. */
export class NoCredential extends PosternError {
  constructor() {
    super('invalid_token', 'An API key is required');
  }
}

/** How every key begins; a password that begins so is a key, and is checked as one. */
const KEY_PREFIX = 'postern_';
/** RFC 6750 §2.1, and the one space of RFC 9110 §11.4. */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
/** RFC 7617. */
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;
const OURS = /^(?:bearer|basic)(?: |$)/i;

/**
 * The credential that a request shows to `/verify`:
 *
 * - `Authorization: Bearer <key>`
 * - `X-API-Key: <key>`
 * - `Authorization: Basic <base64>` of `<key>:` (the key as user name, no password), of `<any name>:<key>`, or of
 *   `<role_id>:<secret_id>`; plain UTF-8, without the form encoding that RFC 6749 §2.3.1 has
 *
 * The same key twice is one; anything else beside a key is refused, since nobody knows which of them a proxy looked at.
 *
 * @param headers of a server that joins repeated headers with a comma, which no credential has
 * @throws {PosternError} {@link NoCredential}; invalid_request for a malformed one or several; invalid_client for what cannot be a
 * credential,
 *   mistyped keys among them, at no cost to Vault
 */
export function shownCredential(headers: IncomingHttpHeaders): AppRoleCredential {
  const authorization = headers.authorization ?? '';
  const apiKey = headers['x-api-key'] ?? '';
  if (apiKey === '') return fromAuthorization(authorization);
  if (typeof apiKey !== 'string' || apiKey.includes(',')) throw several();
  if (authorization !== '' && keyIn(authorization) !== apiKey) throw several();
  return credentialOf(apiKey);
}

function fromAuthorization(header: string): AppRoleCredential {
  const key = keyIn(header);
  if (key !== undefined) return credentialOf(key);
  if (!OURS.test(header)) throw new NoCredential();
  const { name, password } = parseBasic(header);
  const credential = AppRoleCredential.of(name, password);
  if (credential === undefined) throw wrongCredential();
  return credential;
}

/** The text in the place of a key. @returns undefined for role_id and secret_id, for none, and for a scheme that is not ours */
function keyIn(header: string): string | undefined {
  if (!OURS.test(header)) return undefined;
  const bearer = BEARER.exec(header)?.[1];
  if (bearer !== undefined) return bearer;
  const { name, password } = parseBasic(header);
  if (password === '' || password === name) return name;
  // Two keys; or one with a password that means nothing, and that must not go to Vault as the secret of a role_id.
  if (name.startsWith(KEY_PREFIX)) throw several();
  if (name === '' || password.startsWith(KEY_PREFIX)) return password;
  return undefined;
}

function parseBasic(header: string): { name: string; password: string } {
  const encoded = BASIC.exec(header)?.[1];
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) throw header.includes(',') ? several() : new PosternError('invalid_request', 'The Authorization header is malformed');
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

function credentialOf(key: string): AppRoleCredential {
  const credential = ApiKey.parse(key)?.credential;
  if (credential === undefined) throw wrongCredential();
  return credential;
}

function several(): PosternError {
  return new PosternError('invalid_request', 'More than one credential was sent');
}
