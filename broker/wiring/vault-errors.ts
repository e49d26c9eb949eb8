import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultOperation } from '#broker/vault/operation.ts';

/** What an exchange of somebody new needs, and in an operator's words. */
const NEEDED: Partial<Record<VaultOperation, string>> = { login: 'login', sign: 'signature', write: 'write' };
/** So many in a row, for so long, ms: a tenant alone whom Vault refuses is seldom that, and it is no more than a word. */
const MANY = 5;
const LONG = 5_000;
/** What was not tried for so long says nothing of now, ms. */
const OVER = 60_000;

interface Row {
  readonly since: number;
  last: number;
  times: number;
  status: number;
}

/** What Vault answers, but with an error each time: no breaker opens for that, since it takes no time, and /readyz has to tell. */
export class VaultErrors {
  readonly #monotonic: () => number;
  readonly #rows = new Map<VaultOperation, Row>();

  /** @param monotonic ms */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** @param error of a call; undefined: it went well */
  observe(operation: VaultOperation, error: unknown): void {
    if (NEEDED[operation] === undefined) return;
    const { reason, status } = error instanceof VaultFault ? error : {};
    // A 400 judges what was asked: a wrong secret, or a version that somebody else has written.
    if (error === undefined || (status === 400 && operation !== 'sign')) return void this.#rows.delete(operation);
    // What wasn't asked or answered says nothing of how it is answered.
    if (status === undefined || reason === 'not_asked') return;
    const now = this.#monotonic();
    const row = this.#rows.get(operation);
    if (row === undefined || now - row.last > OVER) this.#rows.set(operation, { since: now, last: now, times: 1, status });
    else Object.assign(row, { last: now, times: row.times + 1, status });
  }

  /** In words, without paths or what Vault says. */
  get lately(): readonly string[] {
    const now = this.#monotonic();
    return [...this.#rows].flatMap(([operation, { since, last, times, status }]) =>
      times < MANY || last - since < LONG || now - last > OVER
        ? []
        : [
            `Vault has answered ${status} to each ${NEEDED[operation]} for ${Math.round((last - since) / 1000)} s (${times} in a row): see the log`,
          ],
    );
  }
}
