import type { AppRoleCredential } from '#broker/credential/approle.ts';
import { NAME, VaultToken } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { Login } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { apiKeyOf } from './key-metadata.ts';
import type { KeyEnds } from './key-ends.ts';
import { unavailable } from './unavailable.ts';

export interface AppRoleLoginOptions {
  client: VaultClient;
  /** Mount of the tenants' AppRole, e.g. `approle`. */
  mount: string;
  /** Whether Vault is told the client's address, for CIDR-bound credentials. */
  forwardAddress: boolean;
  ends: Pick<KeyEnds, 'of'>;
  now?: () => number;
}

/** The metadata field in which `postern secret issue` notes when a secret_id ends, in seconds since 1970. */
export const EXPIRY_METADATA = 'expires_at';

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
      // Never tried again: a login may have spent one of the secret_id's uses even if its answer was lost.
      const answer = await client.write(
        `auth/${mount}/login`,
        { role_id: credential.clientId, secret_id: credential.reveal() },
        { forwardedFor },
      );
      auth = answer.auth ?? {};
    } catch (error) {
      throw loginError(error, forwardedFor !== undefined);
    }
    const metadata = (auth['metadata'] ?? {}) as Record<string, unknown>;
    const tenant = metadata['role_name'];
    const token = auth['client_token'];
    const ttl = auth['lease_duration'];
    if (typeof token !== 'string' || typeof tenant !== 'string' || typeof ttl !== 'number')
      throw unavailable('Vault answered a login without a token, a role name or a life');
    if (auth['token_type'] !== 'batch') {
      // Each login with a service token would leave a lease behind in Vault.
      void client.write('auth/token/revoke-self', {}, { token }).catch(() => {});
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: `AppRole role "${tenant}" gives ${String(auth['token_type'])} tokens: set token_type=batch on auth/${mount}/role/${tenant} (terraform apply, or \`postern tenant create\`)`,
      });
    }
    if (!NAME.test(tenant))
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: 'An AppRole role has a name that no tenant can have: use a-z, 0-9 and -',
      });
    const key = apiKeyOf(metadata, tenant);
    // The margin keeps a request that starts just in time from ending with a dead token.
    const tokenEnd = now + ttl * 1000 - Math.min(5000, ttl * 100);
    const own = new VaultToken(token);
    const rotatedAt = key.keyId === undefined ? undefined : await this.#options.ends.of(tenant, key.keyId, own, forwardedFor);
    const secretEnd = Math.min(endOf(metadata[EXPIRY_METADATA]), rotatedAt ?? Infinity) * 1000;
    // Vault removes an ended secret_id when it next tidies up, which may be a minute later; until then its login still succeeds.
    if (secretEnd <= now) throw wrongCredential();
    return { tenant, clientId: credential.clientId, token: own, forwardedFor, expiresAt: Math.min(tokenEnd, secretEnd), ...key };
  }
}

/** Seconds since 1970; Infinity where there is no end. */
function endOf(metadata: unknown): number {
  const end = Number(metadata);
  return end > 0 ? end : Infinity;
}

/** Only a 400 says that the credential was judged and found wrong; sealed, denied or throttled says nothing about it. */
function loginError(error: unknown, addressForwarded: boolean): unknown {
  if (!(error instanceof VaultFault)) return error;
  if (error.reason === 'invalid' && error.status === 400) return wrongCredential();
  if (error.reason === 'denied') {
    if (addressForwarded) return new PosternError('access_denied', 'Client is not allowed from this address', { detail: error.message });
    return new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
      detail: `${error.message}. If this stays: is user lockout off on the AppRole mount, and are CIDRs bound while Vault does not see the client's address (POSTERN_FORWARD_CLIENT_ADDRESS)?`,
      retryAfter: 1,
    });
  }
  return unavailable(error.message, error.retryAfter);
}
