import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';
import type { PluginVault, PluginVaultOptions } from '#test/fixture/plugin.ts';
import { checkout } from '#tools/part/version.ts';

const CLIENT = 'postern-shared-m2m';
/** May rotate the shared application's secret, once Auth0 grants it the Management API. */
const ROTATOR = 'postern-rotation';
const SCOPES = ['read:orders', 'write:orders'];

export const ORDERS = 'https://orders.example.com';
/** A second API, of the stages that name its lifetime; its one scope is `read:reports`. */
export const REPORTS = 'https://reports.example.com';
export const TENANT_CLAIM = 'https://postern.dev/tenant';
export const TENANTS = ['acme', 'globex', 'initech', 'umbrella'] as const;

/** A Vault that plugins can be put into, and the stand-in for Auth0 with one API. */
export interface PluginStage {
  vault: PluginVault;
  auth0: Auth0StandIn;
  /** The shared application at Auth0. */
  m2m: { readonly client_id: string; readonly client_secret: string };
  /** Writes config, the API and a role for each of {@link TENANTS}. */
  configure(): Promise<void>;
  /** @returns the access token. @throws Error for any answer but a 200 */
  token(tenant: string): Promise<string>;
  stop(): Promise<void>;
}

export interface PluginStageOptions extends PluginVaultOptions {
  /** Seconds that Auth0's tokens live. Default: a day. */
  lifetime?: number;
  /** Seconds that those for {@link REPORTS} live; without it there is no such API. */
  reportsLifetime?: number;
}

export async function startPluginStage({ lifetime, reportsLifetime, ...options }: PluginStageOptions = {}): Promise<PluginStage> {
  const secret = randomBytes(32).toString('base64url');
  registerSecret('auth0 client_secret', secret);
  const rotatorSecret = randomBytes(32).toString('base64url');
  registerSecret('auth0 client_secret', rotatorSecret);
  const auth0 = await startAuth0({
    account: {
      clients: [
        { id: CLIENT, metadata: { postern: 'broker' }, secrets: [secret], grantTypes: ['client_credentials'] },
        { id: ROTATOR, metadata: {}, secrets: [rotatorSecret], grantTypes: ['client_credentials'] },
      ],
      apis: [
        { audience: ORDERS, scopes: SCOPES, ...(lifetime === undefined ? {} : { lifetime }) },
        ...(reportsLifetime === undefined ? [] : [{ audience: REPORTS, scopes: ['read:reports'], lifetime: reportsLifetime }]),
      ],
      grants: [
        { clientId: CLIENT, audience: ORDERS, scopes: SCOPES },
        ...(reportsLifetime === undefined ? [] : [{ clientId: CLIENT, audience: REPORTS, scopes: ['read:reports'] }]),
      ],
      organizations: [],
      people: [],
      action: await readFile(join(checkout, 'terraform/modules/auth0/action.js'), 'utf8'),
    },
  });
  const vault = await startPluginVault(options).catch(async (error: unknown) => {
    await auth0.stop();
    throw error;
  });
  return {
    vault,
    auth0,
    m2m: { client_id: CLIENT, client_secret: secret },
    async configure() {
      await vault.root('POST', 'auth0/config', {
        issuer: auth0.issuer,
        client_id: CLIENT,
        client_secret: secret,
        management_client_id: ROTATOR,
        management_client_secret: rotatorSecret,
      });
      await vault.root('POST', 'auth0/apis/orders', { audience: ORDERS, scopes: SCOPES });
      const reports = reportsLifetime === undefined ? {} : { reports: ['read:reports'] };
      if (reportsLifetime !== undefined) await vault.root('POST', 'auth0/apis/reports', { audience: REPORTS, scopes: ['read:reports'] });
      for (const tenant of TENANTS)
        await vault.root('POST', `auth0/roles/${tenant}`, { grants: { orders: ['read:orders'], ...reports }, default_api: 'orders' });
    },
    async token(tenant) {
      const { status, json } = await vault.call('GET', `auth0/creds/${tenant}`);
      if (status !== 200) throw new Error(`creds/${tenant}: ${status} ${JSON.stringify(json['errors'] ?? json)}`);
      const token = String(json['data'].access_token);
      registerSecret('access token', token);
      return token;
    },
    async stop() {
      await vault.stop();
      await auth0.stop();
    },
  };
}

/** Whose token it is. */
export function tenantOf(token: string): unknown {
  return decodeJwt(token)[TENANT_CLAIM];
}
