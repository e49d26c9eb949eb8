import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { APIS } from '#dev/scenario.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { managementToken } from '#test/fixture/management.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';

const DAY_MS = 86_400_000;

/** Old applications at the stand-in, and an operator who moves them with the operators' policy and no more. */
export interface Stage {
  env: Record<string, string>;
  folder: string;
  /** Makes applications with a grant for orders; their secrets, by client_id. */
  applications(names: readonly string[]): Record<string, string>;
  /** An entry of Auth0's log, so many days ago. */
  entry(type: string, clientId: string, days: number): void;
  /** The secrets as `migrate verify` takes them, in a file of 0600. */
  secretsFile(secrets: Readonly<Record<string, string>>): Promise<string>;
  /** What was issued so far, each secret registered. */
  issued(plan: string): Promise<Issued[]>;
  /** Names of the credentials of a tenant at Vault. */
  credentials(tenant: string): Promise<string[]>;
}

export interface Issued {
  application: string;
  tenant: string;
  id: string;
  client_id: string;
  wrapping_token?: string;
  key?: string;
}

export async function stageMigration(house: House, folder: string): Promise<Stage> {
  const { account, log } = house.auth0;
  let file = 0;
  return {
    folder,
    env: {
      VAULT_ADDR: house.vault.address,
      VAULT_TOKEN: await vaultToken(house, 'postern-operator', { display_name: 'olivia' }),
      AUTH0_DOMAIN: house.auth0.issuer,
      AUTH0_MGMT_TOKEN: await managementToken(house.auth0),
    },
    applications(names) {
      const secrets: Record<string, string> = {};
      for (const name of names) {
        const id = `${name.replaceAll(/[^a-z0-9]/gi, '')}${randomBytes(6).toString('hex')}`;
        const secret = randomBytes(24).toString('base64url');
        registerSecret('auth0 client_secret', secret);
        secrets[id] = secret;
        account.clients.push({ id, name, secrets: [secret], grantTypes: ['client_credentials'] });
        account.grants.push({ clientId: id, audience: APIS.orders.audience, scopes: ['read:orders'] });
      }
      return secrets;
    },
    entry(type, clientId, days) {
      const { data } = log.keep(type, { client_id: clientId, date: new Date(Date.now() - days * DAY_MS).toISOString() });
      log.events.sort((a, b) => a.data.date.localeCompare(b.data.date));
      if (data.type !== type) throw new Error('the entry is of another type');
    },
    async secretsFile(secrets) {
      const path = join(folder, `secrets-${(file += 1)}.jsonl`);
      const lines = Object.entries(secrets).map(([client_id, client_secret]) => JSON.stringify({ client_id, client_secret }));
      await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o600 });
      return path;
    },
    async issued(plan) {
      const text = await readFile(`${plan}.issued`, 'utf8').catch(() => '');
      return text
        .split('\n')
        .slice(0, -1)
        .map((line) => {
          const one = JSON.parse(line) as Issued;
          if (one.wrapping_token !== undefined) registerSecret('wrapping token', one.wrapping_token);
          if (one.key !== undefined) registerSecret('key', one.key);
          return one;
        });
    },
    async credentials(tenant) {
      const accessors = await house.root.list(`auth/approle/role/${tenant}/secret-id`);
      const found = await Promise.all(
        accessors.map((accessor) =>
          house.root.write(`auth/approle/role/${tenant}/secret-id-accessor/lookup`, { secret_id_accessor: accessor }),
        ),
      );
      return found.map(({ data }) => (data?.['metadata'] as Record<string, string> | undefined)?.['credential_id'] ?? '');
    },
  };
}
