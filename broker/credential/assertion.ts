import { inspect } from 'node:util';
import { CLIENT_ID } from './approle.ts';

/** RFC 7523 §2.2. */
export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Characters; an assertion with an RSA-4096 signature and all its claims is some 1,200. */
const MAX_LENGTH = 8192;
/** RFC 7515 §7.1, compact, with a signature: one without has no third part. */
const COMPACT = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;

/**
 * A JWT by which a client says who it is (RFC 7523 §2.2), as it came: nothing is verified yet. Redacted when printed, since
 * whoever reads it can use it until it was used or ends.
 */
export class ClientAssertion {
  /** Who it claims to be of: its `sub`. */
  readonly clientId: string;
  readonly #jwt: string;

  private constructor(clientId: string, jwt: string) {
    this.clientId = clientId;
    this.#jwt = jwt;
  }

  /** @returns undefined where the text can't be an assertion of any client, at no cost to Vault */
  static of(jwt: string): ClientAssertion | undefined {
    if (jwt.length > MAX_LENGTH) return undefined;
    const payload = COMPACT.exec(jwt)?.[1];
    if (payload === undefined) return undefined;
    const sub = subjectOf(payload);
    return typeof sub === 'string' && CLIENT_ID.test(sub) ? new ClientAssertion(sub, jwt) : undefined;
  }

  /** The JWT, for those who verify it. */
  reveal(): string {
    return this.#jwt;
  }

  toString(): string {
    return `assertion of ${this.clientId} [redacted]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

function subjectOf(payload: string): unknown {
  try {
    return (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { sub?: unknown } | null)?.sub;
  } catch {
    return undefined;
  }
}
