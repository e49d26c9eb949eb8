import { ApiKey } from '#broker/credential/api-key.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { createTenant } from '#broker/operator/tenant/create.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { APIS } from '#dev/scenario.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

/** Somebody who asks for tokens. */
export interface Customer {
  readonly tenant: string;
  readonly client_id: string;
  readonly client_secret: string;
  /** The same two, as one string. */
  readonly key: string;
  /** Of a login at Vault, where there was one. */
  readonly vaultToken?: string;
}

/** Makes tenants and issues credentials, as root and through the operators' own code. */
export class Customers {
  readonly #client: VaultClient;
  readonly #token: string;
  readonly #roleIds = new Map<string, string>();
  #made = 0;
  /** Issued ahead, since nothing can be issued while Vault is away. */
  readonly #unseen: Customer[] = [];

  constructor(client: VaultClient, token: string) {
    this.#client = client;
    this.#token = token;
  }

  /** Tenants that nobody has seen yet, with a credential each. */
  async fresh(count: number): Promise<Customer[]> {
    const access = new VaultAccess({ client: this.#client, token: new VaultToken(this.#token) });
    const names = Array.from({ length: count }, () => `customer-${String((this.#made += 1)).padStart(4, '0')}`);
    const made: Customer[] = [];
    for (const tenant of names) {
      await createTenant(access, tenant, { grants: GRANTS });
      made.push(await this.issue(tenant));
    }
    return made;
  }

  /** One more credential. */
  async issue(tenant: string): Promise<Customer> {
    const client_id = this.#roleIds.get(tenant) ?? (await this.#roleId(tenant));
    const { data } = await this.#client.write(`auth/approle/role/${tenant}/secret-id`, {}, { token: this.#token });
    const client_secret = String(data?.['secret_id']);
    registerSecret('secret_id', client_secret);
    const key = ApiKey.format('live', client_id, client_secret);
    registerSecret('API key', key);
    return { tenant, client_id, client_secret, key };
  }

  /** With a login at Vault, for token exchange; it lives for 5 minutes. */
  async loggedIn(customer: Customer): Promise<Customer & { vaultToken: string }> {
    const { client_id: role_id, client_secret: secret_id } = customer;
    const { auth } = await this.#client.write('auth/approle/login', { role_id, secret_id }, {});
    const vaultToken = String(auth?.['client_token']);
    registerSecret('Vault token', vaultToken);
    return { ...customer, vaultToken };
  }

  /** Issues ahead, until there are so many credentials that no broker has seen. */
  async stock(tenants: readonly string[], count: number): Promise<void> {
    while (this.#unseen.length < count) {
      const batch = Array.from({ length: Math.min(8, count - this.#unseen.length) }, (_, n) => this.issue(tenants[n % tenants.length]!));
      this.#unseen.push(...(await Promise.all(batch)));
    }
  }

  /** A credential that no broker has seen, from the stock. */
  unseen(): Customer {
    const one = this.#unseen.shift();
    if (one === undefined) throw new Error('no more credentials in stock: say more to stock()');
    return one;
  }

  async #roleId(tenant: string): Promise<string> {
    const found = await this.#client.read(`auth/approle/role/${tenant}/role-id`, { token: this.#token });
    const roleId = String(found?.data?.['role_id']);
    this.#roleIds.set(tenant, roleId);
    return roleId;
  }
}

/** One of each source. */
const GRANTS = [
  { api: 'orders', scopes: [...APIS.orders.scopes] },
  { api: 'reports', scopes: [...APIS.reports.scopes] },
];
