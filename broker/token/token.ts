import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { BoundedMap } from '#broker/bounded-map.ts';

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
  #replyHead: string | undefined;
  #signedBy: string | undefined;

  /** @param jitter 0 to 1: replicas and tokens refresh at different times, between 75 % and 85 % of a token's life. */
  constructor(accessToken: string, scope: string, issuedAt: number, expiresAt: number, jitter: number = Math.random()) {
    this.#accessToken = accessToken;
    this.scope = scope;
    this.issuedAt = issuedAt;
    this.expiresAt = expiresAt;
    this.refreshAt = refreshAt(issuedAt, expiresAt, jitter);
    this.sha256 = createHash('sha256').update(accessToken).digest('hex');
  }

  reveal(): string {
    return this.#accessToken;
  }

  /** The reply up to the remaining life, which is all that changes. Made when it is wanted first. */
  get replyHead(): string {
    return (this.#replyHead ??= headOf(this.#accessToken, this.scope));
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

/** One text for all tokens of a key: there are few, and each token would have its own. */
const signers = new BoundedMap<string, string>(100);

function once(signer: string): string {
  const known = signers.get(signer);
  if (known === undefined) signers.set(signer, signer);
  return known ?? signer;
}

function signerOf(accessToken: string): string {
  try {
    const [header, payload] = accessToken.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown);
    const { kid } = header as { kid?: unknown };
    const { iss } = payload as { iss?: unknown };
    return typeof kid === 'string' && typeof iss === 'string' ? once(`${iss} ${kid}`) : '';
  } catch {
    return '';
  }
}

/** What JSON writes as it is. A JWT is made of nothing else. */
const PLAIN = /^[\w.~+/=-]*$/;

function headOf(accessToken: string, scope: string): string {
  const scopePart = scope === '' ? '' : `"scope":${JSON.stringify(scope)},`;
  // Joined, it refers to the token's own text; quoted by JSON.stringify each token would lie in memory twice.
  const quoted = PLAIN.test(accessToken) ? `"${accessToken}"` : JSON.stringify(accessToken);
  return `{"access_token":${quoted},${scopePart}"token_type":"Bearer","expires_in":`;
}
