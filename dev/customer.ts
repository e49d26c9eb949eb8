import { createHash } from 'node:crypto';
import type { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { noteSecret } from './secret.ts';

export interface TokenAnswer {
  status: number;
  /** Empty when it was refused. */
  token: string;
  expiresIn: number;
  scope: string;
  error: string;
  description: string;
  milliseconds: number;
}

/**
 * Plays one customer's background process: it knows the broker's address, its role_id and, once
 * unwrapped, its secret_id. It has none of our code but plain HTTP and Vault.
 */
export class Customer {
  readonly name: string;
  readonly roleId: string;
  /** Requests made at /oauth/token so far. */
  exchanges = 0;
  readonly #tokenEndpoint: string;
  readonly #vault: VaultClient;
  #secretId = '';

  constructor(options: { name: string; roleId: string; issuer: string; vault: VaultClient }) {
    this.name = options.name;
    this.roleId = options.roleId;
    this.#tokenEndpoint = `${options.issuer}oauth/token`;
    this.#vault = options.vault;
  }

  /** Takes the secret_id out of its wrapping. @throws VaultFault when somebody has opened it before */
  async unwrap(wrappingToken: string): Promise<void> {
    const answer = await this.#vault.write('sys/wrapping/unwrap', {}, { token: wrappingToken });
    this.#secretId = noteSecret('secret_id', String(answer.data?.['secret_id']));
  }

  /** An ordinary client_credentials exchange. */
  async token(audience: string): Promise<TokenAnswer> {
    this.exchanges += 1;
    const start = performance.now();
    const response = await fetch(this.#tokenEndpoint, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: this.roleId, client_secret: this.#secretId, audience }),
      redirect: 'error',
      signal: AbortSignal.timeout(10_000),
    });
    const body = (await response.json()) as Record<string, string | number | undefined>;
    const milliseconds = performance.now() - start;
    const token = String(body['access_token'] ?? '');
    if (token !== '') noteSecret('access token', token);
    return {
      status: response.status,
      token,
      expiresIn: Number(body['expires_in'] ?? 0),
      scope: String(body['scope'] ?? ''),
      error: String(body['error'] ?? ''),
      description: String(body['error_description'] ?? ''),
      milliseconds,
    };
  }

  /** Logs in at Vault itself, past the broker. @returns the customer's own Vault token */
  async loginAtVault(): Promise<string> {
    const answer = await this.#vault.write('auth/approle/login', { role_id: this.roleId, secret_id: this.#secretId });
    return noteSecret('tenant vault token', String(answer.auth?.['client_token']));
  }

  /** For what is shown on purpose: local play. */
  revealSecretId(): string {
    return this.#secretId;
  }
}

/** HTTP status of reading a path with a token: 200, 403, 404… */
export async function statusOfReading(vault: VaultClient, path: string, token: string): Promise<number> {
  try {
    return (await vault.read(path, { token })) === undefined ? 404 : 200;
  } catch (error) {
    if (error instanceof VaultFault && error.status !== undefined) return error.status;
    throw error;
  }
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
