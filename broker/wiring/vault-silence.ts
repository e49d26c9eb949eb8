import { VaultFault } from '#broker/vault-fault.ts';

/** Why Vault could not be asked when it was last tried: for whoever looks at /readyz, so without paths or what Vault says. */
export class VaultSilence {
  #last: VaultFault | undefined;

  /** @param error of a call; undefined: it was answered */
  observe(error: unknown): void {
    if (error instanceof VaultFault && error.reason !== 'not_asked' && error.unasked === 'unanswered') this.#last = error;
  }

  /** In words. */
  get last(): string {
    if (this.#last === undefined) return 'why is not known yet';
    const { reason, status, causeCode, notVaults } = this.#last;
    if (reason === 'timeout') return 'no answer in time';
    if (reason === 'redirected') return 'it answers with a redirect';
    if (notVaults || (reason === 'unavailable' && status === undefined)) return 'somebody else answers in its place: is VAULT_ADDR right?';
    if (status !== undefined) return `it answers ${status}${this.#last.isOfSealed ? ': it is sealed' : ''}`;
    return `it cannot be reached${causeCode === undefined ? '' : `: ${causeCode}`}`;
  }
}
