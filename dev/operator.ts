import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { issueSecretId } from '#broker/operator/secret/issue.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import type { IssuedSecretId } from '#broker/operator/secret/issue.ts';
import type { IssueKeyOptions } from '#broker/operator/key/issue.ts';
import type { Revocation } from '#broker/operator/secret/revoke.ts';
import { OIDC_CALLBACK } from './scenario.ts';
import { noteSecret } from './secret.ts';
import type { Stack } from './stack.ts';

/** Seconds for which the demo's envelopes can be opened. */
const WRAP = 120;

/** Olivia, who looks after the customers: what the CLI does for a person, with that person's own token and policy. */
export class Operator {
  readonly #access: VaultAccess;
  readonly #token: string;

  private constructor(access: VaultAccess, token: string) {
    this.#access = access;
    this.#token = token;
  }

  /**
   * Logs in to Vault through Auth0 as `vault login -method=oidc` does, without a browser: Vault says
   * where to go, the stand-in asks nothing and sends back, Vault redeems the code.
   * @throws Error when Vault refuses
   */
  static async login({ vault, client }: Stack): Promise<{ operator: Operator; policies: string[] }> {
    const asked = await client.write('auth/oidc/oidc/auth_url', { role: 'operator', redirect_uri: OIDC_CALLBACK });
    const back = await fetch(String(asked.data?.['auth_url']), { redirect: 'manual', signal: AbortSignal.timeout(10_000) });
    const callback = back.headers.get('location');
    if (!callback?.startsWith(OIDC_CALLBACK)) throw new Error(`the login was answered ${back.status}, without the way back`);
    // Not by our client, whose paths take no query.
    const response = await fetch(`${vault.address}/v1/auth/oidc/oidc/callback${new URL(callback).search}`, {
      redirect: 'error',
      signal: AbortSignal.timeout(10_000),
    });
    const { auth } = (await response.json()) as { auth?: { client_token: string; policies: string[] } };
    if (!auth) throw new Error(`Vault refused the login: ${response.status}`);
    const token = new VaultToken(noteSecret('operator vault token', auth.client_token));
    return { operator: new Operator(new VaultAccess({ client, token }), auth.client_token), policies: auth.policies };
  }

  async issueSecret(tenant: string): Promise<IssuedSecretId & { wrapping_token: string }> {
    const issued = await issueSecretId(this.#access, { tenant, wrap: WRAP });
    return { ...issued, wrapping_token: noteSecret('wrapping token', issued.wrapping_token ?? '') };
  }

  /** @returns the key itself */
  async issueKey(tenant: string, options: Omit<IssueKeyOptions, 'tenant'> = {}): Promise<string> {
    return noteSecret('api key', (await issueKey(this.#access, { ...options, tenant })).key);
  }

  /** For what is shown on purpose: local play. Vault's default life of a login, an hour. */
  revealToken(): string {
    return this.#token;
  }

  /** All of the tenant's, announced to every broker. */
  revokeSecrets(tenant: string): Promise<Revocation> {
    return revokeSecretId(this.#access, { tenant, accessors: 'all' });
  }
}
