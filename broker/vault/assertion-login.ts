import type { AssertionLogin, Registration } from '#broker/credential/assertions.ts';
import type { ClientAssertion } from '#broker/credential/assertion.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import { logInByJwt } from './jwt-login.ts';
import type { JwtLoginOptions } from './jwt-login.ts';

/** Vault decides, on the tenant's own mount, which knows the tenant's keys and no other's. */
export class VaultAssertionLogin implements AssertionLogin {
  readonly #options: JwtLoginOptions;

  constructor(options: JwtLoginOptions) {
    this.#options = options;
  }

  login({ tenant, clientId }: Registration, assertion: ClientAssertion, address: string): Promise<Identity> {
    const path = `auth/${this.#options.mount}/${tenant}`;
    return logInByJwt(
      this.#options,
      { tenant, clientId, path, role: tenant, jwt: assertion.reveal(), address },
      {
        // By the keys that it holds, and they differ from the registered ones, or its clock does from ours.
        judged: (message) =>
          new PosternError('invalid_client', 'Unauthorized', { detail: `client_assertion: good by the registered keys, and ${message}` }),
        batch: 'terraform apply sets token_type=batch',
        missing: `is ${path} there, as terraform apply makes it for a tenant with assertion_keys, and are its cidrs those that Vault sees?`,
        ended: wrongCredential,
      },
    );
  }
}
