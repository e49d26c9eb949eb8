import { createLocalJWKSet, jwtVerify } from 'jose';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';
import { accessTokenClaims, signingInput } from '#broker/token/claims.ts';
import type { TokenSource } from '#broker/token/source.ts';
import { Token } from '#broker/token/token.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { signatureOf } from './keys.ts';
import type { TransitKeys } from './keys.ts';
import { asUnavailable } from '#broker/vault/unavailable.ts';

export interface TransitSourceOptions {
  client: VaultClient;
  session: VaultSession;
  keys: TransitKeys;
  mount: string;
  key: string;
  /** The namespaced claim that names the tenant. */
  tenantClaim: string;
  /** The clock of its tokens, ms since 1970. Default: this machine's. */
  now?: () => number;
}

/**
 * JWTs signed by Vault transit; the private key never leaves Vault. jose can't sign with a key elsewhere, so the JWS is put
 * together here and checked by jose.
 */
export class TransitSource implements TokenSource {
  readonly #options: TransitSourceOptions;

  constructor(options: TransitSourceOptions) {
    this.#options = options;
  }

  async issue(grant: AuthorizedGrant): Promise<Token> {
    const { keys, mount, key, tenantClaim, now = Date.now } = this.#options;
    const claimsOf = async () => {
      const { version, kid } = await keys.signing();
      return { version, claims: accessTokenClaims(grant, kid, tenantClaim, now()) };
    };
    let { version, claims } = await claimsOf();
    let input = signingInput(claims);
    let signature: string;
    try {
      signature = await this.#sign(input, version);
    } catch (error) {
      if (!(error instanceof VaultFault && error.isOfNoKeyVersion)) throw asUnavailable(error);
      // An operator has retired it since the key was read: who asks next must not wait until it is read by its age.
      keys.expire();
      ({ version, claims } = await claimsOf());
      input = signingInput(claims);
      signature = await this.#sign(input, version).catch((again: unknown) => {
        throw asUnavailable(again);
      });
    }
    const jwt = `${input}.${signature}`;
    try {
      await jwtVerify(jwt, createLocalJWKSet(await keys.jwks()), {
        issuer: grant.issuer,
        audience: grant.audience,
        algorithms: ['RS256'],
        currentDate: new Date(now()),
      });
    } catch {
      keys.expire();
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `the signature of ${mount}/sign/${key} does not verify with the key that Vault shows there`,
      });
    }
    return new Token(jwt, grant.scope, claims.payload.iat, claims.payload.exp);
  }

  /** base64url. @throws {VaultFault} */
  async #sign(input: string, version: number): Promise<string> {
    const { client, session, mount, key } = this.#options;
    const answer = await session.use((token) =>
      client.write(
        `${mount}/sign/${key}/sha2-256`,
        // Transit's default for RSA is PSS; RS256 is PKCS #1 v1.5 (RFC 7518 §3.3). The kid is already signed, so the version is pinned.
        {
          input: Buffer.from(input).toString('base64'),
          key_version: version,
          signature_algorithm: 'pkcs1v15',
          marshaling_algorithm: 'jws',
        },
        { token, attempts: 2, part: 'signing' },
      ),
    );
    return signatureOf(answer.data, version);
  }
}
