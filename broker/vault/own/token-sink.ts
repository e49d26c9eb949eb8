import type { VaultAuth } from '#broker/vault-auth.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { CredentialSource } from './credential-source.ts';
import { refused } from './login.ts';
import type { OwnLogin, OwnToken } from './login.ts';

type Given = Extract<VaultAuth, { method: 'token-file' }>;

/**
 * A Vault token that somebody else keeps in a file: the sink of a Vault Agent, which logs in and renews. The broker takes each new
 * token as it comes, looks up how long it lives, and neither renews nor revokes it: others may use it too.
 */
export class OwnTokenSink implements OwnLogin {
  readonly ownsToken = false;
  readonly followsFile = true;
  readonly #client: VaultClient;
  readonly #given: Given;
  readonly #source: CredentialSource;

  constructor(client: VaultClient, given: Given) {
    this.#client = client;
    this.#given = given;
    this.#source = new CredentialSource(given.token);
  }

  async login(): Promise<OwnToken> {
    const { path, variable } = this.#given.token;
    const token = this.#source.read();
    if (token.startsWith('{'))
      throw refused(
        `${variable} holds a sink that is wrapped or encrypted`,
        `Give the Agent's sink for ${path} neither wrap_ttl nor dh_type: only its own user and the broker should read the file`,
      );
    try {
      return await this.#lookup(token);
    } catch (error) {
      if (!(error instanceof VaultFault && error.reason === 'denied')) throw error;
      throw refused(
        `Vault doesn't know the token in ${variable}, or it may not look itself up`,
        `Whoever writes ${path} must log in again: does the Vault Agent run, and what does its log say? ` +
          "The token needs the broker's policy. The file is read again each second.",
      );
    }
  }

  /** The Agent renews; this only looks how long the token still lives, and whether the file still holds it. */
  async renew(token: string): Promise<OwnToken> {
    return this.#source.read() === token ? this.#lookup(token) : this.login();
  }

  changed(): boolean {
    return this.#source.changed();
  }

  /** @throws {VaultFault} denied: the token is dead */
  async #lookup(token: string): Promise<OwnToken> {
    const ttl = (await this.#client.read('auth/token/lookup-self', { token }))?.data?.['ttl'];
    if (typeof ttl !== 'number') throw new VaultFault('unavailable', 'Vault answered a lookup of its token without its life');
    return { token, ttl, renewable: true };
  }
}
