import { createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';
import type { Identity } from './identity.ts';
import type { SubjectToken } from './subject-token.ts';
import type { Throttle } from './throttle.ts';
import { Turnstile } from './turnstile.ts';

/** The port to who knows whose a token is (Vault). */
export interface SubjectLookup {
  /**
   * @returns an identity whose token is lent.
   * @throws {PosternError} invalid_request when the token was judged: dead, or no tenant's; temporarily_unavailable
   */
  lookUp(token: SubjectToken, address: string): Promise<Identity>;
}

/**
 * WHO, by a Vault token of the caller's own (RFC 8693). Neither the token nor who it was is remembered: each exchange asks Vault, so that
 * a revoked token ends at once. Bad ones are held back, each by itself and all of a network together; one that was good is not, so
 * that bad ones from the same address can't keep its workload out.
 */
export class SubjectTokens {
  readonly #lookup: SubjectLookup;
  readonly #throttle: Throttle;
  readonly #turnstile: Turnstile;
  /** HMACs under a key of this process, of tokens that were good the last time. They prove nothing now. */
  readonly #onceGood = new BoundedMap<string, true>(50_000);
  readonly #key = randomBytes(32);

  /**
   * @param throttle one of its own: a bad token names no client, so a token's fingerprint stands for one
   * @param turnstile what those pass that were good before
   */
  constructor(lookup: SubjectLookup, throttle: Throttle, turnstile = new Turnstile()) {
    this.#lookup = lookup;
    this.#throttle = throttle;
    this.#turnstile = turnstile;
  }

  /** @throws {PosternError} invalid_request, too_many_requests, temporarily_unavailable */
  async verify(token: SubjectToken, address: string): Promise<Identity> {
    const fingerprint = createHmac('sha256', this.#key).update(token.reveal()).digest('base64');
    const lookUp = (): Promise<Identity> => this.#lookup.lookUp(token, address);
    try {
      const identity = await (this.#onceGood.has(fingerprint)
        ? this.#turnstile.run(fingerprint, lookUp)
        : this.#throttle.run(fingerprint, address, lookUp, isBad));
      this.#onceGood.set(fingerprint, true);
      return identity;
    } catch (error) {
      if (isBad(error)) this.#onceGood.delete(fingerprint);
      throw error;
    }
  }
}

/** RFC 8693 §2.2.2: a subject token that is invalid for any reason, or unacceptable, is an `invalid_request`. */
export function badSubject(description: string, detail?: string): PosternError {
  return new PosternError('invalid_request', description, detail === undefined ? {} : { detail });
}

function isBad(error: unknown): boolean {
  return error instanceof PosternError && error.code === 'invalid_request';
}
