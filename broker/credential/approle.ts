import { hash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * Characters a client_id (an AppRole role_id) may have. Vault trims white space around role_ids, so
 * padded variants of one id would slip by the throttle and the memory; they are refused here.
 */
export const CLIENT_ID = /^[A-Za-z0-9._~-]{1,128}$/;
/** RFC 6749 Appendix A.2: VSCHAR, here without the space that Vault would trim. */
const CLIENT_SECRET = /^[\x21-\x7e]{1,512}$/;

/** An AppRole credential in its OAuth clothes: client_id = role_id, client_secret = secret_id. Redacted when printed. */
export class AppRoleCredential {
  readonly clientId: string;
  readonly #secretId: string;
  #lasting: string | undefined;

  private constructor(clientId: string, secretId: string) {
    this.clientId = clientId;
    this.#secretId = secretId;
  }

  /** @returns undefined where the two cannot be an AppRole credential, at no cost to Vault. */
  static of(clientId: string, secretId: string): AppRoleCredential | undefined {
    return CLIENT_ID.test(clientId) && CLIENT_SECRET.test(secretId) ? new AppRoleCredential(clientId, secretId) : undefined;
  }

  /**
   * The client_id for what outlives the request. As parsed, it may be a view of the whole body, which would stay in memory with it, secret
   * and all.
   */
  get lastingClientId(): string {
    return (this.#lasting ??= Buffer.from(this.clientId, 'latin1').toString('latin1'));
  }

  /** The secret_id, for the one place that hands it to Vault. */
  reveal(): string {
    return this.#secretId;
  }

  /**
   * The key under which this credential is remembered; `address` is part of it where Vault judges by address.
   * client_id has no NUL, so the parts cannot run into each other.
   */
  fingerprint(key: FingerprintKey, address: string): string {
    return key.digest(`${this.clientId}\0${address}\0${this.#secretId}`);
  }

  toString(): string {
    return `AppRole ${this.clientId} [redacted]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** Longest text that is fingerprinted: client_id, address and secret_id at their longest come to some 700. */
const MAX_TEXT = 1024;
/** Of the key, bytes. */
const KEY = 32;

/**
 * SHA-256 of a key that lives and dies with the process, and a text: a fingerprint means nothing to another process. Nobody sees one
 * and might lengthen it, so that it needs no HMAC, which takes two hashes. A Hash object for each request would cost more than both.
 */
export class FingerprintKey {
  readonly #text = Buffer.alloc(KEY + MAX_TEXT);

  /** @param key 32 bytes; random unless a test says otherwise @throws RangeError */
  constructor(key: Buffer = randomBytes(KEY)) {
    // With keys of several lengths the end of one could be the beginning of a text.
    if (key.length !== KEY) throw new RangeError('The key has another length');
    key.copy(this.#text);
  }

  /** @param text ASCII, 1024 characters at most. @returns base64url @throws RangeError */
  digest(text: string): string {
    if (text.length > MAX_TEXT) throw new RangeError('The text is too long to be fingerprinted');
    const end = KEY + this.#text.write(text, KEY, 'latin1');
    const digest = hash('sha256', this.#text.subarray(0, end), 'base64url');
    this.#text.fill(0, KEY, end);
    return digest;
  }
}
