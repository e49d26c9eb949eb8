import { MAX_TOKEN_TTL } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { issuerId } from '#broker/credential/trust.ts';
import type { Trust } from '#broker/credential/trust.ts';
import type { TrustLogin } from '#broker/credential/trusts.ts';
import type { TrustedToken } from '#broker/credential/trusted-token.ts';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { livesTooLong } from './approle-login.ts';
import type { AssertionLoginOptions } from './assertion-login.ts';
import { identityOf } from './token-identity.ts';
import { unavailable } from './unavailable.ts';

const NO_KEY = { of: () => Promise.resolve(undefined) };

/** Where a tenant's tokens of an issuer log in. */
export function trustMount(mount: string, tenant: string, issuer: string): string {
  return `auth/${mount}/${tenant}/${issuerId(issuer)}`;
}

/** Vault decides: JWT login ("JWT/OIDC auth method", HTTP API) on a mount that knows one issuer's keys and maps to one tenant. */
export class VaultTrustLogin implements TrustLogin {
  readonly #options: AssertionLoginOptions;

  /** @param options `mount`: below it lies a JWT auth mount for each tenant and issuer, e.g. `postern-trust` */
  constructor(options: AssertionLoginOptions) {
    this.#options = options;
  }

  async login(trust: Trust, token: TrustedToken, address: string, refused: (reason: string) => PosternError): Promise<Identity> {
    const { client, mount, forwardAddress, announced } = this.#options;
    const { tenant, clientId, name, scopes } = trust;
    const askedAt = (this.#options.now ?? Date.now)();
    const forwardedFor = forwardAddress ? address : undefined;
    const path = trustMount(mount, tenant, trust.issuer);
    const answer = await client.write(`${path}/login`, { role: name, jwt: token.reveal() }, { forwardedFor }).catch((error: unknown) => {
      throw loginError(error, path, forwardedFor !== undefined, refused);
    });
    const { client_token: vaultToken, lease_duration: ttl, token_type: type } = answer.auth ?? {};
    if (typeof vaultToken !== 'string' || typeof ttl !== 'number') throw unavailable('Vault answered a login without a token or a life');
    const role = `${path}/role/${name}`;
    if (type !== 'batch') {
      void client.write('auth/token/revoke-self', {}, { token: vaultToken }).catch(() => {});
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: `${role} gives ${String(type)} tokens: set token_type=batch`,
      });
    }
    if (ttl > MAX_TOKEN_TTL) throw livesTooLong(role, ttl, role);
    const identity = await identityOf(
      { tenant, clientId, token: vaultToken, forwardedFor, metadata: {}, ttl, askedAt },
      { rotations: NO_KEY, announced },
      { ended: () => refused('the client was ended'), tooLong: () => livesTooLong(role, ttl, role) },
    );
    return { ...identity, trust: name, ...(scopes === undefined ? {} : { limit: { scopes } }) };
  }
}

function loginError(error: unknown, path: string, addressForwarded: boolean, refused: (reason: string) => PosternError): unknown {
  if (!(error instanceof VaultFault)) return error;
  // Vault judged it by what it holds itself, or the trust was removed just now.
  if (error.reason === 'invalid' && error.status === 400) return refused(`good by the trust, and ${error.message}`);
  if (error.reason === 'denied' || error.reason === 'not_found') {
    const detail = `${error.message}: is ${path} there, as terraform apply makes it, and are the trust's cidrs those that Vault sees?`;
    if (error.reason === 'denied' && addressForwarded)
      return new PosternError('access_denied', 'Client is not allowed from this address', { detail });
    return new PosternError('misconfigured', 'Client is not set up', { detail, retryAfter: 1 });
  }
  return unavailable(error.message, error.retryAfter);
}
