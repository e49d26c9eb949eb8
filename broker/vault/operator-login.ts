import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

export interface OperatorLoginOptions {
  client: VaultClient;
  /** JWT auth mount, e.g. `postern-admin`. */
  mount: string;
  now?: () => number;
}

/** A token of Vault's for one caller of the admin API. */
export interface OperatorToken {
  readonly token: VaultToken;
  /** ms since 1970. */
  readonly expiresAt: number;
}

/**
 * Exchanges an Auth0 JWT for the caller's own Vault token, so that the broker needs no operator right ("JWT/OIDC auth method", HTTP API).
 */
export class OperatorLogin {
  readonly #options: OperatorLoginOptions;

  constructor(options: OperatorLoginOptions) {
    this.#options = options;
  }

  /**
   * @param role `read` gives an auditor's token, `write` an operator's; Vault looks at the JWT's permissions itself
   * @throws {PosternError} access_denied where Vault does not accept the JWT; temporarily_unavailable
   */
  async login(jwt: string, role: string): Promise<OperatorToken> {
    const { client, mount, now = Date.now } = this.#options;
    const begin = now();
    const answer = await client.write(`auth/${mount}/login`, { role, jwt }).catch((error: unknown) => {
      if (!(error instanceof VaultFault) || (error.reason !== 'invalid' && error.reason !== 'denied' && error.reason !== 'not_found'))
        throw asUnavailable(error);
      throw new PosternError('access_denied', `Vault does not accept this token for its role "${role}"`, {
        detail: `${error.message}. Is auth/${mount} set up for this issuer, audience and permission (Terraform variable admin_api)?`,
      });
    });
    const { client_token: token, lease_duration: ttl } = answer.auth ?? {};
    if (typeof token !== 'string' || typeof ttl !== 'number') throw unavailable('Vault answered a login without a token or a life');
    return { token: new VaultToken(token), expiresAt: begin + ttl * 1000 };
  }
}
