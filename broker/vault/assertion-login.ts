import type { AssertionLogin, Registration } from '#broker/credential/assertions.ts';
import type { ClientAssertion } from '#broker/credential/assertion.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import { livesTooLong } from './approle-login.ts';
import type { VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { identityOf } from './token-identity.ts';
import type { CredentialEnds } from './token-identity.ts';
import { unavailable } from './unavailable.ts';

export interface AssertionLoginOptions {
  client: VaultClient;
  /** Below it lies a JWT auth mount for each tenant, e.g. `postern-assertion`. */
  mount: string;
  /** Whether Vault is told the client's address. */
  forwardAddress: boolean;
  /** What operators announced as ended. */
  announced: CredentialEnds['announced'];
  now?: () => number;
}

/** A registered key is not an API key, which rotations end: it is replaced in Terraform. */
const NO_KEY = { of: () => Promise.resolve(undefined) };

/** Vault decides: JWT login on the tenant's own mount ("JWT/OIDC auth method", HTTP API), which knows the tenant's keys and no other's. */
export class VaultAssertionLogin implements AssertionLogin {
  readonly #options: AssertionLoginOptions;

  constructor(options: AssertionLoginOptions) {
    this.#options = options;
  }

  async login({ tenant, clientId }: Registration, assertion: ClientAssertion, address: string): Promise<Identity> {
    const { client, mount } = this.#options;
    const now = (this.#options.now ?? Date.now)();
    const forwardedFor = this.#options.forwardAddress ? address : undefined;
    const path = `auth/${mount}/${tenant}`;
    const answer = await client
      .write(`${path}/login`, { role: tenant, jwt: assertion.reveal() }, { forwardedFor })
      .catch((error: unknown) => {
        throw loginError(error, path, forwardedFor !== undefined);
      });
    const { client_token: token, lease_duration: ttl, token_type: type } = answer.auth ?? {};
    if (typeof token !== 'string' || typeof ttl !== 'number') throw unavailable('Vault answered a login without a token or a life');
    if (type !== 'batch') {
      // As at the AppRole door: each login with a service token would leave a lease behind.
      void client.write('auth/token/revoke-self', {}, { token }).catch(() => {});
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: `${path}/role/${tenant} gives ${String(type)} tokens: terraform apply sets token_type=batch`,
      });
    }
    return identityOf(
      { tenant, clientId, token, forwardedFor, metadata: {}, ttl, askedAt: now },
      { rotations: NO_KEY, announced: this.#options.announced },
      {
        ended: wrongCredential,
        tooLong: () => livesTooLong(`${path}/role/${tenant}`, ttl, `${path}/role/${tenant}`),
      },
    );
  }
}

function loginError(error: unknown, path: string, addressForwarded: boolean): unknown {
  if (!(error instanceof VaultFault)) return error;
  // Vault judged it by the keys that it holds, and they differ from the registered ones, or its clock does from ours.
  if (error.reason === 'invalid' && error.status === 400)
    return new PosternError('invalid_client', 'Unauthorized', {
      detail: `client_assertion: good by the registered keys, and ${error.message}`,
    });
  if (error.reason === 'denied' || error.reason === 'not_found') {
    const detail =
      `${error.message}: is ${path} there, as terraform apply makes it for a tenant with assertion_keys, ` +
      'and are its cidrs those that Vault sees?';
    // As at the AppRole door.
    if (error.reason === 'denied' && addressForwarded)
      return new PosternError('access_denied', 'Client is not allowed from this address', { detail });
    return new PosternError('misconfigured', 'Client is not set up', { detail, retryAfter: 1 });
  }
  return unavailable(error.message, error.retryAfter, error.unasked);
}
