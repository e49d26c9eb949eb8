import type { VaultAuth } from '#broker/vault-auth.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { CredentialSource } from './credential-source.ts';
import { isRefusal, ownTokenOf, refused } from './login.ts';
import type { OwnLogin, OwnToken } from './login.ts';
import { renewSelf } from './renewal.ts';

type Given = Extract<VaultAuth, { method: 'kubernetes' | 'jwt' }>;

/** By a JWT that the platform keeps in a file: a service account's token (Kubernetes auth), or another's (JWT auth). */
export class OwnJwt implements OwnLogin {
  readonly ownsToken = true;
  readonly followsFile = false;
  readonly #client: VaultClient;
  readonly #given: Given;
  readonly #source: CredentialSource;

  constructor(client: VaultClient, given: Given) {
    this.#client = client;
    this.#given = given;
    this.#source = new CredentialSource(given.jwt);
  }

  async login(): Promise<OwnToken> {
    const { mount, role, method, jwt: file } = this.#given;
    const jwt = this.#source.read();
    if (jwt.split('.').length !== 3)
      throw refused(`${file.variable} holds no JWT`, `Name the file that the platform keeps the token in: ${file.path}`);
    try {
      return ownTokenOf(await this.#client.write(`auth/${mount}/login`, { role, jwt }));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const named =
        method === 'kubernetes'
          ? 'its service account, namespace and audience must be those that the role is bound to'
          : 'its issuer, audience and subject must be those that the mount and the role are bound to';
      throw refused(
        `Vault refuses the broker's login at auth/${mount} as role ${role}: ${error.message}`,
        `The token in ${file.path} has ended or ${named}: see \`vault read auth/${mount}/role/${role}\` and \`auth/${mount}/config\`, ` +
          `and terraform's broker_${method}. The file is read again each second.`,
      );
    }
  }

  renew(token: string): Promise<OwnToken> {
    return renewSelf(this.#client, token);
  }

  changed(): boolean {
    return this.#source.changed();
  }
}
