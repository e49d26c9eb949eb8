import type { Identity } from '#broker/credential/identity.ts';
import { issuerId } from '#broker/credential/trust.ts';
import type { Trust } from '#broker/credential/trust.ts';
import type { TrustLogin } from '#broker/credential/trusts.ts';
import type { TrustedToken } from '#broker/credential/trusted-token.ts';
import type { PosternError } from '#broker/error.ts';
import { logInByJwt } from './jwt-login.ts';
import type { JwtLoginOptions } from './jwt-login.ts';

/** Where a tenant's tokens of an issuer log in. */
export function trustMount(mount: string, tenant: string, issuer: string): string {
  return `auth/${mount}/${tenant}/${issuerId(issuer)}`;
}

/** Vault decides, on a mount that knows one issuer's keys and maps to one tenant. */
export class VaultTrustLogin implements TrustLogin {
  readonly #options: JwtLoginOptions;

  constructor(options: JwtLoginOptions) {
    this.#options = options;
  }

  async login(trust: Trust, token: TrustedToken, address: string, refused: (reason: string) => PosternError): Promise<Identity> {
    const { tenant, clientId, name, scopes } = trust;
    const path = trustMount(this.#options.mount, tenant, trust.issuer);
    const identity = await logInByJwt(
      this.#options,
      { tenant, clientId, path, role: name, jwt: token.reveal(), address, strangers: true },
      {
        // By what it holds itself, or the trust was removed just now.
        judged: (message) => refused(`good by the trust, and ${message}`),
        batch: 'set token_type=batch',
        missing: `is ${path} there, as terraform apply makes it, and are the trust's cidrs those that Vault sees?`,
        ended: () => refused('the client was ended'),
      },
    );
    return { ...identity, trust: name, ...(scopes === undefined ? {} : { limit: { scopes } }) };
  }
}
