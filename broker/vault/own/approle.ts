import type { VaultAuth } from '#broker/vault-auth.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { CredentialSource } from './credential-source.ts';
import { isRefusal, ownTokenOf, refused } from './login.ts';
import type { OwnLogin, OwnToken } from './login.ts';
import { renewSelf } from './renewal.ts';
import { SecretIdLife } from './secret-id-life.ts';
import type { Life } from './secret-id-life.ts';

type Given = Extract<VaultAuth, { method: 'approle' }>;

/** By role_id and secret_id. A wrapped secret_id is opened once and then remembered, in memory only. */
export class OwnAppRole implements OwnLogin {
  readonly ownsToken = true;
  readonly followsFile = false;
  readonly #client: VaultClient;
  readonly #given: Given;
  readonly #source: CredentialSource;
  readonly #life: SecretIdLife;
  /** What the last wrapping token held. */
  #unwrapped: { wrapping: string; secretId: string } | undefined;
  /** A wrapping token that Vault refused stays refused: it is not asked about again. */
  #spent: string | undefined;
  /** Vault may have opened this one for us: its answer didn't arrive. */
  #unanswered: string | undefined;

  constructor(client: VaultClient, given: Given) {
    this.#client = client;
    this.#given = given;
    this.#source = new CredentialSource(given.secretId.from);
    this.#life = new SecretIdLife(client, given.mount, given.secretId.wrapped ? undefined : given.secretId.from);
  }

  async login(): Promise<OwnToken> {
    const { mount, roleId, secretId } = this.#given;
    const body = { role_id: roleId, secret_id: await this.#secretId() };
    try {
      const answer = await this.#client.write(`auth/${mount}/login`, body);
      const own = ownTokenOf(answer);
      const role = (answer.auth?.['metadata'] as { role_name?: string } | null | undefined)?.role_name;
      this.#life.look(own.token, role, body.secret_id);
      return own;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      throw refused(
        `Vault refuses the broker's login by AppRole at auth/${mount}: ${error.message}`,
        `The secret_id in ${secretId.variable} was destroyed, has ended or is used up, or the role is gone or changed: compare ` +
          'POSTERN_ROLE_ID with `terraform output broker_role_id`, and issue another secret_id' +
          (secretId.variable.endsWith('_FILE') ? ' into that file, which is read again each second' : ''),
      );
    }
  }

  async renew(token: string): Promise<OwnToken> {
    const renewed = await renewSelf(this.#client, token);
    this.#life.look(renewed.token);
    return renewed;
  }

  get credentialLife(): Life | undefined {
    return this.#life.now;
  }

  changed(): boolean {
    return this.#source.changed();
  }

  async #secretId(): Promise<string> {
    const known = this.#unwrapped;
    if (!this.#given.secretId.wrapped) return this.#source.read();
    // The file of a wrapping token is of no more use once it was opened, so it may be gone.
    if (known !== undefined && !this.#source.changed()) return known.secretId;
    let wrapping: string;
    try {
      wrapping = this.#source.read();
    } catch (error) {
      if (known === undefined) throw error;
      return known.secretId;
    }
    if (known?.wrapping === wrapping) return known.secretId;
    if (this.#spent !== wrapping) {
      const secretId = await this.#unwrap(wrapping);
      if (secretId !== undefined) {
        this.#unwrapped = { wrapping, secretId };
        return secretId;
      }
      this.#spent = wrapping;
    }
    throw refused(
      'The wrapped secret_id of the broker cannot be unwrapped',
      (this.#unanswered === wrapping
        ? 'This broker unwrapped it itself, it seems: it asked Vault to, and no answer came. Issue a new one, and destroy that secret_id. '
        : 'The wrapping token was used before or has ended. Issue a new one. If nobody of yours unwrapped it, ' +
          'somebody else did: destroy that secret_id. ') +
        'Each restart needs one: other values of POSTERN_VAULT_AUTH need nobody at a restart.',
    );
  }

  /** @returns undefined: Vault refuses. @throws {VaultFault} Vault can't be asked */
  async #unwrap(wrapping: string): Promise<string | undefined> {
    try {
      const answer = await this.#client.write('sys/wrapping/unwrap', {}, { token: wrapping });
      const value = answer.data?.['secret_id'];
      return typeof value === 'string' ? value : undefined;
    } catch (error) {
      if (isRefusal(error) || !(error instanceof VaultFault)) return undefined;
      if (!(error as VaultFault).isOfNothingDone) this.#unanswered = wrapping;
      throw error;
    }
  }
}
