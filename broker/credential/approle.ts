import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * Characters a client_id (an AppRole role_id) may have. Vault trims white space around role_ids, so
 * padded variants of one id would slip by the throttle and the memory; they are refused here.
 */
const CLIENT_ID = /^[A-Za-z0-9._~-]{1,128}$/;
/** RFC 6749 Appendix A.2: VSCHAR, here without the space that Vault would trim. */
const CLIENT_SECRET = /^[\x21-\x7e]{1,512}$/;

/** An AppRole credential in its OAuth clothes: client_id = role_id, client_secret = secret_id. Redacted when printed. */
export class AppRoleCredential {
  readonly clientId: string;
  readonly #secretId: string;

  private constructor(clientId: string, secretId: string) {
    this.clientId = clientId;
    this.#secretId = secretId;
  }

  /** @returns undefined where the two cannot be an AppRole credential, at no cost to Vault. */
  static of(clientId: string, secretId: string): AppRoleCredential | undefined {
    return CLIENT_ID.test(clientId) && CLIENT_SECRET.test(secretId) ? new AppRoleCredential(clientId, secretId) : undefined;
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

/** A key that lives and dies with the process: fingerprints of one process mean nothing to another, or to a core dump's reader without it. */
export class FingerprintKey {
  readonly #key: KeyObject = createSecretKey(randomBytes(32));

  digest(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64');
  }
}
