import { PosternError } from '#broker/error.ts';
import type { Identity } from './identity.ts';
import type { SubjectToken } from './subject-token.ts';
import type { Throttle } from './throttle.ts';

/** The port to who knows whose a token is (Vault). */
export interface SubjectLookup {
  /**
   * @returns an identity whose token is lent.
   * @throws {PosternError} invalid_request when the token was judged: dead, or no tenant's; temporarily_unavailable
   */
  lookUp(token: SubjectToken, address: string): Promise<Identity>;
}

/**
 * WHO, by a Vault token of the caller's own (RFC 8693). Nothing is remembered, neither the token nor who it was: each exchange
 * asks Vault, so that a revoked token ends at once. Bad ones are held back by address.
 */
export class SubjectTokens {
  readonly #lookup: SubjectLookup;
  readonly #throttle: Throttle;

  /** @param throttle one of its own, with one allowance an address: a bad token names no client */
  constructor(lookup: SubjectLookup, throttle: Throttle) {
    this.#lookup = lookup;
    this.#throttle = throttle;
  }

  verify(token: SubjectToken, address: string): Promise<Identity> {
    return this.#throttle.run('', address, () => this.#lookup.lookUp(token, address), isBad);
  }
}

/** RFC 8693 §2.2.2: a subject token that is invalid for any reason, or unacceptable, is an `invalid_request`. */
export function badSubject(description: string, detail?: string): PosternError {
  return new PosternError('invalid_request', description, detail === undefined ? {} : { detail });
}

function isBad(error: unknown): boolean {
  return error instanceof PosternError && error.code === 'invalid_request';
}
