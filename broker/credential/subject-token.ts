import { inspect } from 'node:util';

/**
 * The `subject_token_type` (RFC 8693 §3) of a Vault token. A URI of ours: none is registered for it, and
 * `…:access_token` would say that it came from an OAuth issuer.
 */
export const VAULT_TOKEN_TYPE = 'urn:postern:params:oauth:token-type:vault-token';

/** What an HTTP header carries whole. Vault's service tokens are some 100 characters, batch tokens some hundred to 4,000. */
const TOKEN = /^[\x21-\x7e]{1,8192}$/;

/**
 * A JSON Web Token is some other issuer's, and Vault says no more to one than that it has failed (500). It takes for one what has three
 * parts of which the first is JSON, with white space and padding as somebody likes.
 */
function isJwt(text: string): boolean {
  const [header = '', ...more] = text.split('.');
  return more.length === 2 && Buffer.from(header, 'base64url').toString('latin1').trimStart().startsWith('{');
}

/** Somebody's Vault token, lent for one request (RFC 8693: the subject token). Redacted when printed. */
export class SubjectToken {
  /** It names no client. */
  readonly clientId = undefined;
  readonly #token: string;

  private constructor(token: string) {
    this.#token = token;
  }

  /** @returns undefined where the text can't be a Vault token, at no cost to Vault */
  static of(token: string): SubjectToken | undefined {
    return TOKEN.test(token) && !isJwt(token) ? new SubjectToken(token) : undefined;
  }

  reveal(): string {
    return this.#token;
  }

  toString(): string {
    return 'Vault token [redacted]';
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
