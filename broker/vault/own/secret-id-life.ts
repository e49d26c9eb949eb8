import type { GivenCredential } from '#broker/vault-auth.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { CredentialSource } from './credential-source.ts';

/** Seconds. */
export interface Life {
  readonly remaining: number;
  /** From its making to its end. */
  readonly whole: number;
}

/** How long the broker's secret_id still lives, by what Vault says of it at each look; for whoever gives it another one in time. */
export class SecretIdLife {
  readonly #client: VaultClient;
  readonly #mount: string;
  /** Where it lies in the clear. */
  readonly #source: CredentialSource | undefined;
  #token: string | undefined;
  #role = '';
  /** Out of a wrapping token. */
  #opened: string | undefined;
  /** ms since 1970, by Vault's clock. */
  #known: { readonly madeAt: number; readonly endsAt: number } | undefined;
  #looking = false;

  /** @param from undefined: it comes out of a wrapping token, and each look is told of it */
  constructor(client: VaultClient, mount: string, from: GivenCredential | undefined) {
    this.#client = client;
    this.#mount = mount;
    this.#source = from === undefined ? undefined : new CredentialSource(from);
  }

  /** Undefined where it doesn't end, or Vault hasn't told. Another one in the file is looked at, for whoever asks next. */
  get now(): Life | undefined {
    if (this.#source?.changed() === true) this.look();
    if (this.#known === undefined) return undefined;
    const { madeAt, endsAt } = this.#known;
    return { remaining: Math.max(0, endsAt - Date.now()) / 1000, whole: (endsAt - madeAt) / 1000 };
  }

  /**
   * Asks Vault, in the background: nothing depends on it, and a policy older than the broker forbids it.
   * @param token default: the one before @param role its name in Vault, as the login told it @param opened default: the one before
   */
  look(token = this.#token, role = this.#role, opened = this.#opened): void {
    this.#token = token;
    this.#role = role;
    this.#opened = opened;
    if (token === undefined || role === '' || this.#looking) return;
    this.#looking = true;
    void this.#look(token, role)
      .catch(() => {})
      .finally(() => (this.#looking = false));
  }

  async #look(token: string, role: string): Promise<void> {
    const secretId = this.#source === undefined ? this.#opened : this.#source.read();
    if (secretId === undefined) return;
    const { data } = await this.#client.write(`auth/${this.#mount}/role/${role}/secret-id/lookup`, { secret_id: secretId }, { token });
    // None: Vault has it no more. It is told of as ended, for so long as it was the last.
    if (data === undefined || data === null) {
      if (this.#known !== undefined) this.#known = { ...this.#known, endsAt: Date.now() };
      return;
    }
    const [madeAt, endsAt] = [data['creation_time'], data['expiration_time']].map((time) => Date.parse(String(time)));
    // One that doesn't end has the year 1 there.
    this.#known = madeAt !== undefined && endsAt !== undefined && endsAt > madeAt ? { madeAt, endsAt } : undefined;
  }
}
