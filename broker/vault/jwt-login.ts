import type { Identity } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { livesTooLong } from './approle-login.ts';
import type { VaultClient } from './client.ts';
import { identityOf } from './token-identity.ts';
import type { CredentialEnds } from './token-identity.ts';
import { unanswered, unavailable } from './unavailable.ts';

export interface JwtLoginOptions {
  client: VaultClient;
  /** Below it lie JWT auth mounts, each of one tenant: `postern-assertion`, or `postern-trust`. */
  mount: string;
  /** Whether Vault is told the client's address. */
  forwardAddress: boolean;
  /** What operators announced as ended. */
  announced: CredentialEnds['announced'];
  now?: () => number;
}

export interface JwtLogin {
  readonly tenant: string;
  readonly clientId: string;
  /** Of the mount, such as `auth/postern-assertion/acme`. */
  readonly path: string;
  readonly role: string;
  readonly jwt: string;
  readonly address: string;
  /** Vault fetches the keys of an issuer that the tenant chose: whether that fails, or takes long, says nothing of Vault. */
  readonly strangers?: boolean;
}

/** A door's own words for what Vault says. */
export interface JwtLoginWords {
  /** Vault judged the JWT, and not as we did. @param message Vault's */
  judged(message: string): PosternError;
  /** What puts the role right that gives tokens of another type. */
  readonly batch: string;
  /** What to look at where the mount is not there, or refuses the address. */
  readonly missing: string;
  ended(): PosternError;
}

/** No rotation ends what logs in here: that is for API keys. */
const NO_KEY = { of: () => Promise.resolve(undefined) };

/**
 * Vault decides: JWT login ("JWT/OIDC auth method", HTTP API) on a mount of one tenant, which knows keys that it was given itself.
 * @throws {PosternError} what `words` make; access_denied, temporarily_unavailable, misconfigured
 */
export async function logInByJwt(options: JwtLoginOptions, login: JwtLogin, words: JwtLoginWords): Promise<Identity> {
  const { client, forwardAddress, announced } = options;
  const { tenant, clientId, path, jwt, address } = login;
  const askedAt = (options.now ?? Date.now)();
  const forwardedFor = forwardAddress ? address : undefined;
  const role = `${path}/role/${login.role}`;
  const answer = await client
    .write(
      `${path}/login`,
      { role: login.role, jwt },
      { forwardedFor, ...(login.strangers === true ? { strangers: true } : { part: 'assertions' }), onceMore: true },
    )
    .catch((error: unknown) => {
      throw loginError(error, words, forwardedFor !== undefined);
    });
  const { client_token: token, lease_duration: ttl, token_type: type } = answer.auth ?? {};
  if (typeof token !== 'string' || typeof ttl !== 'number')
    throw unavailable('Vault answered a login without a token or a life', 1, 'unanswered');
  if (type !== 'batch') {
    // As at the AppRole door: each login with a service token would leave a lease behind.
    void client.write('auth/token/revoke-self', {}, { token }).catch(() => {});
    throw new PosternError('misconfigured', 'Client is not set up', { detail: `${role} gives ${String(type)} tokens: ${words.batch}` });
  }
  return identityOf(
    { tenant, clientId, token, forwardedFor, metadata: {}, ttl, askedAt },
    { rotations: NO_KEY, announced },
    { ended: () => words.ended(), tooLong: () => livesTooLong(role, ttl, role) },
  );
}

function loginError(error: unknown, words: JwtLoginWords, addressForwarded: boolean): unknown {
  if (!(error instanceof VaultFault)) return error;
  if (error.reason === 'invalid' && error.status === 400) return words.judged(error.message);
  if (error.reason !== 'denied' && error.reason !== 'not_found') return unanswered(error);
  const detail = `${error.message}: ${words.missing}`;
  // As at the AppRole door.
  if (error.reason === 'denied' && addressForwarded)
    return new PosternError('access_denied', 'Client is not allowed from this address', { detail });
  return new PosternError('misconfigured', 'Client is not set up', { detail, retryAfter: 1 });
}
