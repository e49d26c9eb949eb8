import { AppRoleCredential } from './approle.ts';
import { ClientAssertion } from './assertion.ts';
import type { Identity } from './identity.ts';
import type { KnownBefore } from './known-before.ts';
import type { VerifiedCredentials } from './verified-credentials.ts';
import type { SubjectToken } from './subject-token.ts';
import { TrustedToken } from './trusted-token.ts';

/** By what a client may authenticate (RFC 6749 §2.3): its secret, or an assertion signed by its own key (RFC 7523). */
export type ClientCredential = AppRoleCredential | ClientAssertion;

/** All by which a caller is known, whatever the door. */
export type Credential = ClientCredential | SubjectToken | TrustedToken;

/** WHO: the one way from any credential to an {@link Identity}. */
export interface CredentialVerifier {
  /**
   * @param again this very request has verified it before, and something changed since
   * @returns at once where the verification is remembered, else a promise.
   * @throws {PosternError} invalid_client (of a subject token: invalid_request, of a token that is good once: invalid_grant),
   *   too_many_requests, temporarily_unavailable
   */
  verify(credential: Credential, address: string, again?: boolean): Identity | Promise<Identity>;
  /** Whose a refused credential was when it was right, as far as is known; for the audit alone. */
  knownBefore?(credential: Credential): KnownBefore | undefined;
  /** Whether it was right here before. It proves nothing now. */
  isKnown?(credential: Credential, address: string): boolean;
}

export interface VerifiersOptions {
  /** Told of each verification, whatever the credential; not of those that were remembered. */
  onVerified?: (identity: Identity) => void;
  secrets: Pick<VerifiedCredentials, 'verify' | 'knownBefore' | 'isKnown'>;
  assertions: { verify(assertion: ClientAssertion, address: string, again?: boolean): Promise<Identity> };
  subjects: { verify(token: SubjectToken, address: string): Promise<Identity> };
  trusts: { verify(token: TrustedToken, address: string, again?: boolean): Promise<Identity> };
}

/** Each kind of credential to whom it concerns. */
export class Verifiers implements CredentialVerifier {
  readonly #options: VerifiersOptions;

  constructor(options: VerifiersOptions) {
    this.#options = options;
  }

  verify(credential: Credential, address: string, again = false): Identity | Promise<Identity> {
    const identity = this.#verify(credential, address, again);
    const { onVerified } = this.#options;
    if (onVerified === undefined || !(identity instanceof Promise)) return identity;
    return identity.then((verified) => {
      onVerified(verified);
      return verified;
    });
  }

  knownBefore(credential: Credential): KnownBefore | undefined {
    return credential instanceof AppRoleCredential ? this.#options.secrets.knownBefore(credential) : undefined;
  }

  isKnown(credential: Credential, address: string): boolean {
    return credential instanceof AppRoleCredential && this.#options.secrets.isKnown(credential, address);
  }

  #verify(credential: Credential, address: string, again: boolean): Identity | Promise<Identity> {
    if (credential instanceof AppRoleCredential) return this.#options.secrets.verify(credential, address);
    if (credential instanceof ClientAssertion) return this.#options.assertions.verify(credential, address, again);
    if (credential instanceof TrustedToken) return this.#options.trusts.verify(credential, address, again);
    return this.#options.subjects.verify(credential, address);
  }
}
