import type { AppRoleCredential } from '#broker/credential/approle.ts';
import { MAX_TOKEN_TTL, NAME } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';
import { EndedCredential } from '#broker/credential/known-before.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { Login } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { KEY_ID, KEY_METADATA } from './key-metadata.ts';
import { identityOf } from './token-identity.ts';
import type { CredentialEnds } from './token-identity.ts';
import { unanswered, unavailable } from './unavailable.ts';

export interface AppRoleLoginOptions {
  client: VaultClient;
  /** Mount of the tenants' AppRole, e.g. `approle`. */
  mount: string;
  /** Whether Vault is told the client's address, for CIDR-bound credentials. */
  forwardAddress: boolean;
  ends: CredentialEnds;
  /** Told where the secret was right and its CIDRs leave out the address that Vault saw. The client isn't. */
  onRefusedAddress?: (refused: RefusedAddress) => void;
  now?: (() => number) | undefined;
  /** ms by which our clock is behind Vault's. Default: 0. */
  behind?: (() => number) | undefined;
}

/** Vault decides: AppRole login with the customer's credential ("AppRole auth method", HTTP API). */
export class AppRoleLogin implements Login {
  readonly #options: AppRoleLoginOptions;

  constructor(options: AppRoleLoginOptions) {
    this.#options = options;
  }

  async login(credential: AppRoleCredential, address: string): Promise<Identity> {
    const { client, mount } = this.#options;
    const now = (this.#options.now ?? Date.now)();
    const forwardedFor = this.#options.forwardAddress ? address : undefined;
    let auth: Record<string, unknown>;
    try {
      // Tried again only where nothing was done: a login may have spent one of the secret_id's uses even if its answer was lost.
      const answer = await client.write(
        `auth/${mount}/login`,
        { role_id: credential.clientId, secret_id: credential.reveal() },
        { forwardedFor, part: 'logins', onceMore: true },
      );
      auth = answer.auth ?? {};
    } catch (error) {
      const seen = error instanceof VaultFault ? error.refusedAddress : undefined;
      if (seen !== undefined)
        this.#options.onRefusedAddress?.({ clientId: credential.lastingClientId, address, forwarded: forwardedFor, seen });
      throw loginError(error, forwardedFor !== undefined);
    }
    const metadata = (auth['metadata'] ?? {}) as Record<string, unknown>;
    const tenant = metadata['role_name'];
    const token = auth['client_token'];
    const ttl = auth['lease_duration'];
    if (typeof token !== 'string' || typeof tenant !== 'string' || typeof ttl !== 'number')
      throw unavailable('Vault answered a login without a token, a role name or a life', 1, 'unanswered');
    if (auth['token_type'] !== 'batch') {
      // Each login with a service token would leave a lease behind in Vault.
      void client.write('auth/token/revoke-self', {}, { token }).catch(() => {});
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail:
          `AppRole role "${tenant}" gives ${String(auth['token_type'])} tokens: set token_type=batch on ` +
          `auth/${mount}/role/${tenant} (terraform apply, or \`postern tenant create\`)`,
      });
    }
    if (!NAME.test(tenant))
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: 'An AppRole role has a name that no tenant can have: use a-z, 0-9 and -',
      });
    return identityOf(
      { tenant, clientId: credential.lastingClientId, token, forwardedFor, metadata, ttl, askedAt: now, behind: this.#options.behind?.() },
      this.#options.ends,
      {
        ended: () => new EndedCredential({ tenant, keyId: keyIdIn(metadata) }, wrongCredential().message),
        tooLong: () => livesTooLong(`AppRole role "${tenant}"`, ttl, `auth/${mount}/role/${tenant}`),
      },
    );
  }
}

function keyIdIn({ [KEY_METADATA.keyId]: id }: Record<string, unknown>): string | undefined {
  return typeof id === 'string' && KEY_ID.test(id) ? id : undefined;
}

/** @param role where to set another life */
export function livesTooLong(what: string, ttl: number, role: string): PosternError {
  return new PosternError('misconfigured', 'Client is not set up', {
    detail:
      `${what} gives tokens of ${ttl} s, and they can't be revoked: set token_ttl and token_max_ttl on ` +
      `${role} to ${MAX_TOKEN_TTL} s at most`,
  });
}

/** Only a 400 says that the credential was judged and found wrong; sealed, denied or throttled says nothing about it. */
function loginError(error: unknown, addressForwarded: boolean): unknown {
  if (!(error instanceof VaultFault)) return error;
  if (error.reason === 'invalid' && error.status === 400) return wrongCredential();
  if (error.reason === 'denied') {
    if (addressForwarded) return new PosternError('access_denied', 'Client is not allowed from this address', { detail: error.message });
    return new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
      detail:
        `${error.message}. If this stays: is the AppRole mount there, is user lockout off on it, and are CIDRs bound while ` +
        `Vault does not see the client's address (POSTERN_FORWARD_CLIENT_ADDRESS)?`,
      retryAfter: 1,
    });
  }
  return unanswered(error);
}
