import { createHash } from 'node:crypto';
import { CredentialFile } from '#broker/credential-file.ts';
import type { GivenCredential } from '#broker/vault-auth.ts';

/** The credential that a login presents, and whether another lies there by now. */
export class CredentialSource {
  readonly #from: GivenCredential;
  /** Digest of what was read last, or what was wrong with the file then. */
  #last = '';

  constructor(from: GivenCredential) {
    this.#from = from;
  }

  /** @throws {PosternError} misconfigured: the file is gone, empty or no credential */
  read(): string {
    if (!(this.#from instanceof CredentialFile)) return this.#from;
    const { state, value } = look(this.#from);
    this.#last = state;
    if (value instanceof Error) throw value;
    return value;
  }

  changed(): boolean {
    return this.#from instanceof CredentialFile && look(this.#from).state !== this.#last;
  }
}

function look(file: CredentialFile): { state: string; value: string | Error } {
  try {
    const value = file.read();
    return { state: createHash('sha256').update(value).digest('hex'), value };
  } catch (error) {
    return { state: (error as Error).message, value: error as Error };
  }
}
