import { Pool } from 'undici';

/** The do-it-yourself way, against Vault itself, over keep-alive connections. */
export class VaultDirect {
  readonly #pool: Pool;

  constructor(address: string, connections: number) {
    this.#pool = new Pool(address, { connections, pipelining: 1 });
  }

  /** One AppRole login, then one KV v2 read with the token it gave. @returns the document read */
  async loginAndRead(credential: { roleId: string; secretId: string }, path: string): Promise<Record<string, unknown>> {
    const login = await this.#pool.request({
      method: 'POST',
      path: '/v1/auth/approle/login',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ role_id: credential.roleId, secret_id: credential.secretId }),
    });
    const { auth } = (await login.body.json()) as { auth: { client_token: string } };
    const read = await this.#pool.request({ method: 'GET', path: `/v1/${path}`, headers: { 'x-vault-token': auth.client_token } });
    const { data } = (await read.body.json()) as { data: { data: Record<string, unknown> } };
    return data.data;
  }

  /** `loginAndRead` from so many workers at once. @returns exchanges a second */
  async rate(credential: { roleId: string; secretId: string }, path: string, workers: number, seconds: number): Promise<number> {
    const start = performance.now();
    const end = start + seconds * 1000;
    let done = 0;
    await Promise.all(
      Array.from({ length: workers }, async () => {
        while (performance.now() < end) {
          await this.loginAndRead(credential, path);
          done++;
        }
      }),
    );
    return done / ((performance.now() - start) / 1000);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
