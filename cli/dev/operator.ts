import { noteSecret } from './secret.ts';
import type { Stack } from './stack.ts';

/** PLACEHOLDER until the CLI's domain code is there. */
export class Operator {
  readonly #stack: Stack;
  constructor(stack: Stack) {
    this.#stack = stack;
  }
  async issueSecret(tenant: string): Promise<{ wrappingToken: string }> {
    const w = await this.#stack.client.write(`auth/approle/role/${tenant}/secret-id`, {}, { token: this.#stack.vault.rootToken, wrapTtl: 60 });
    return { wrappingToken: noteSecret('wrapping token', String(w.wrap_info?.['token'])) };
  }
  async revokeSecrets(tenant: string): Promise<void> {
    const token = this.#stack.vault.rootToken;
    for (const a of await this.#stack.client.list(`auth/approle/role/${tenant}/secret-id`, { token })) await this.#stack.client.write(`auth/approle/role/${tenant}/secret-id-accessor/destroy`, { secret_id_accessor: a }, { token });
    await this.#stack.client.write('postern/data/state/epoch', { data: { epoch: 1, disabled: [], recent: [{ epoch: 1, tenant }] } }, { token });
  }
}
