import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { JWK, JWTPayload } from 'jose';
import { PosternError } from '#broker/error.ts';
import type { TokenJudge } from '#broker/token/issued-tokens.ts';
import type { KeySet } from '#broker/token/keyset.ts';
import { verifySignedJwt } from '#broker/token/signed-jwt.ts';

export interface TransitJudgeOptions {
  /** With its trailing slash. */
  issuer: string;
  keys: Pick<KeySet, 'jwks'>;
  now?: () => number;
}

/** Judges the broker's own tokens by the keys that it publishes: it accepts exactly what verifiers elsewhere would. */
export class TransitJudge implements TokenJudge {
  readonly issuer: string;
  readonly sharedClient = false;
  readonly #keys: Pick<KeySet, 'jwks'>;
  readonly #now: () => number;
  /** Each is imported once; a key that isn't published any more is dropped with its JWK. */
  readonly #imported = new WeakMap<JWK, KeyObject>();

  constructor(options: TransitJudgeOptions) {
    this.issuer = options.issuer;
    this.#keys = options.keys;
    this.#now = options.now ?? Date.now;
  }

  async judge(accessToken: string): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await verifySignedJwt(accessToken, ({ kid }) => this.#verificationKey(kid), {
        issuer: this.issuer,
        currentDate: new Date(this.#now()),
      });
      return payload;
    } catch (error) {
      // Not about the token: the keys can't be had.
      if (error instanceof PosternError) throw error;
      return undefined;
    }
  }

  /** An unknown kid causes no call to Vault: the published keys are read again by their age alone. */
  async #verificationKey(kid: string | undefined): Promise<KeyObject> {
    const { keys } = await this.#keys.jwks();
    const jwk = kid === undefined ? undefined : keys.find((one) => one.kid === kid);
    if (jwk === undefined) throw new TypeError('no such key');
    let imported = this.#imported.get(jwk);
    if (imported === undefined) {
      imported = createPublicKey({ key: jwk, format: 'jwk' });
      this.#imported.set(jwk, imported);
    }
    return imported;
  }
}
