import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { EXPIRY_METADATA } from '#broker/vault/key-metadata.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { untilAll } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';

const REPORTS = { audience: 'https://reports.example.com' };

let house: House;
let replicas: LocalReplica[];
let client: VaultClient;
let operator: VaultAccess;

beforeAll(async () => {
  house = await startHouse();
  replicas = await Promise.all([house.startReplica(), house.startReplica(), house.startReplica()]);
  client = new VaultClient({ address: house.vault.address });
  operator = new VaultAccess({ client, token: new VaultToken(await vaultToken(house, 'postern-operator')) });
});
afterAll(async () => {
  await client.close();
  await house.stop();
});

const statuses = (credential: Credential): Promise<number[]> =>
  Promise.all(replicas.map(async (replica) => (await exchange(replica, credential, REPORTS)).status));

/** Exchanges on every replica until all answer alike. @returns ms it took */
const untilAnswered = (credential: Credential, status: number, limitMs: number): Promise<number> =>
  untilAll(status, () => statuses(credential), limitMs);

describe('a credential stops', () => {
  test("within 2 s on every replica when the CLI's code revokes it, and its neighbours go on", async () => {
    const revoked = await house.issueSecret('acme');
    const other = await house.issueSecret('acme');
    const neighbour = await house.issueSecret('globex');
    expect(await statuses(revoked)).toEqual([200, 200, 200]);
    await revokeSecretId(operator, { tenant: 'acme', accessors: [revoked.accessor] });
    expect(await untilAnswered(revoked, 401, 10_000)).toBeLessThan(2000);
    expect(await statuses(other)).toEqual([200, 200, 200]);
    expect(await statuses(neighbour)).toEqual([200, 200, 200]);
  });

  test('within 31 s when it is destroyed in Vault and nobody says so, and not a moment later', async () => {
    const credentials = await Promise.all(Array.from({ length: 20 }, () => house.issueSecret('acme')));
    for (const credential of credentials) expect(await statuses(credential)).toEqual([200, 200, 200]);
    const destroyed = performance.now();
    for (const { accessor } of credentials)
      await house.root.write('auth/approle/role/acme/secret-id-accessor/destroy', { secret_id_accessor: accessor });
    expect(await statuses(credentials[0]!)).toEqual([200, 200, 200]);
    await sleep(31_000 - (performance.now() - destroyed));
    const answers = (await Promise.all(credentials.map(statuses))).flat();
    expect(answers.filter((status) => status !== 401)).toEqual([]);
  }, 90_000);

  test('at its own end when it was issued with a life, though its verification is remembered', async () => {
    // As the CLI issues them, whose shortest life is a minute: Vault ends it, the metadata says when.
    const expires_at = String(Math.floor(Date.now() / 1000) + 3);
    const { data } = await house.root.write('auth/approle/role/acme/secret-id', {
      ttl: '3s',
      metadata: JSON.stringify({ [EXPIRY_METADATA]: expires_at }),
    });
    const client_secret = String(data?.['secret_id']);
    registerSecret('secret_id', client_secret);
    const credential = { client_id: house.roleIds['acme'] ?? '', client_secret, accessor: '' };
    const start = performance.now();
    expect(await statuses(credential)).toEqual([200, 200, 200]);
    await sleep(3_600 - (performance.now() - start));
    expect(await statuses(credential)).toEqual([401, 401, 401]);
  });
});

describe('a tenant stops', () => {
  test('within 2 s on every replica when it is disabled, and is served again within 2 s when it is enabled', async () => {
    const credential = await house.issueSecret('globex');
    expect(await statuses(credential)).toEqual([200, 200, 200]);
    await disableTenant(operator, 'globex');
    expect(await untilAnswered(credential, 403, 10_000)).toBeLessThan(2000);
    // A replica that starts now knows it from its first answer on.
    const late = await house.startReplica();
    expect((await exchange(late, credential, REPORTS)).body['error']).toBe('unauthorized_client');
    await enableTenant(operator, 'globex');
    expect(await untilAnswered(credential, 200, 10_000)).toBeLessThan(2000);
  });

  test('terraform apply does not enable it again', async () => {
    const credential = await house.issueSecret('globex');
    await disableTenant(operator, 'globex');
    await house.apply({});
    await untilAnswered(credential, 403, 2000);
    await sleep(1500);
    expect(await statuses(credential)).toEqual([403, 403, 403]);
    await enableTenant(operator, 'globex');
  });
});
