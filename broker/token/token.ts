import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { sharedText } from '#broker/shared.ts';

/** An access token and what the broker needs to know of it. Redacted when printed. */
export class Token {
  readonly #accessToken: string;
  readonly scope: string;
  /** Seconds since 1970, from the JWT. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** From when on the next one is fetched in the background; ms since 1970. */
  readonly refreshAt: number;
  /** SHA-256 in hexadecimal: the only form in which a token is logged. */
  readonly sha256: string;
  /** What follows it in a reply, up to the remaining life; empty where it can't be written there as it is. */
  #replyRest: string | undefined;
  #signedBy: string | undefined;

  /** @param jitter 0 to 1: replicas and tokens refresh at different times, between 75 % and 85 % of a token's life. */
  constructor(accessToken: string, scope: string, issuedAt: number, expiresAt: number, jitter: number = Math.random()) {
    this.#accessToken = accessToken;
    this.scope = sharedText(scope);
    this.issuedAt = issuedAt;
    this.expiresAt = expiresAt;
    this.refreshAt = refreshAt(issuedAt, expiresAt, jitter);
    this.sha256 = createHash('sha256').update(accessToken).digest('hex');
  }

  reveal(): string {
    return this.#accessToken;
  }

  /**
   * The reply of RFC 6749 §5.1. Only what is the same for many tokens is kept: joined once for each, its pieces took 300 bytes a token.
   * @param more further JSON members, each with a comma before it
   */
  reply(expiresIn: number, more = ''): string {
    const rest = (this.#replyRest ??= PLAIN.test(this.#accessToken) ? restOf(this.scope) : '');
    if (rest === '') return `{"access_token":${JSON.stringify(this.#accessToken)}${restOf(this.scope).slice(1)}${expiresIn}${more}}`;
    return `{"access_token":"${this.#accessToken}${rest}${expiresIn}${more}}`;
  }

  /** Its issuer and the id of the key that signed it, with a space between; empty where it names none. */
  get signedBy(): string {
    return (this.#signedBy ??= signerOf(this.#accessToken));
  }

  /** Seconds of life left, rounded down. */
  remaining(nowMs: number): number {
    return Math.floor(this.expiresAt - nowMs / 1000);
  }

  toJSON(): string {
    return `[token sha256:${this.sha256}]`;
  }

  toString(): string {
    return this.toJSON();
  }

  [inspect.custom](): string {
    return this.toJSON();
  }
}

/** @param jitter 0 to 1 @returns from when on the next token is fetched, ms since 1970 */
export function refreshAt(issuedAt: number, expiresAt: number, jitter: number): number {
  return (issuedAt + (expiresAt - issuedAt) * (0.75 + 0.1 * jitter)) * 1000;
}

function signerOf(accessToken: string): string {
  try {
    const [header, payload] = accessToken.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown);
    const { kid } = header as { kid?: unknown };
    const { iss } = payload as { iss?: unknown };
    return typeof kid === 'string' && typeof iss === 'string' ? sharedText(`${iss} ${kid}`) : '';
  } catch {
    return '';
  }
}

/** What JSON writes as it is. A JWT is made of nothing else. */
const PLAIN = /^[\w.~+/=-]*$/;

/** From the quote that ends a token up to its remaining life. */
function restOf(scope: string): string {
  const scopePart = scope === '' ? '' : `"scope":${JSON.stringify(scope)},`;
  // Joined by an array it is one text, and each reply copies it at once.
  return sharedText(['",', scopePart, '"token_type":"Bearer","expires_in":'].join(''));
}
