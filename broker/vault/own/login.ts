import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultAnswer } from '#broker/vault/client.ts';
import type { Life } from './secret-id-life.ts';

/** A Vault token as the broker's own login gave it. */
export interface OwnToken {
  /** Secret. */
  readonly token: string;
  /** Seconds; 0: it doesn't end. */
  readonly ttl: number;
  readonly renewable: boolean;
}

/** The port of the broker's own identity: one way to come by a Vault token, and to keep it alive. */
export interface OwnLogin {
  /** Whether the token is the broker's alone, which then gives it back at its end. */
  readonly ownsToken: boolean;
  /**
   * Whether the token at hand is that of the file, so that a change of the file must be followed while all goes well. Else a change
   * matters only while logins are refused.
   */
  readonly followsFile: boolean;
  /**
   * Reads the credential anew where it lies in a file.
   * @throws {VaultFault} Vault can't be asked. @throws {PosternError} misconfigured: {@link refused}
   */
  login(): Promise<OwnToken>;
  /** @throws {VaultFault} denied: the token is dead. @throws {PosternError} as {@link login} */
  renew(token: string): Promise<OwnToken>;
  /** How long the credential itself still lives; undefined where it doesn't end, or nobody knows. */
  readonly credentialLife?: Life | undefined;
  /** Whether the credential's file has changed since the last {@link login}; false where it doesn't lie in one. */
  changed(): boolean;
}

/** What only an operator, or whoever writes the credential, can mend. @param remedy what to do, in a sentence */
export function refused(what: string, remedy: string): PosternError {
  return new PosternError('misconfigured', what, { detail: remedy });
}

/** Whether Vault's answer to a login is its judgement of the credential, not a word about Vault itself. */
export function isRefusal(error: unknown): error is VaultFault {
  return error instanceof VaultFault && (error.reason === 'denied' || error.reason === 'invalid' || error.reason === 'not_found');
}

/** @throws {VaultFault} unavailable */
export function ownTokenOf(answer: VaultAnswer): OwnToken {
  const { client_token: token, lease_duration: ttl, renewable } = answer.auth ?? {};
  if (typeof token !== 'string' || typeof ttl !== 'number') throw new VaultFault('unavailable', 'Vault answered a login without a token');
  return { token, ttl, renewable: renewable === true };
}
