import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { APIS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { managementToken } from '#test/fixture/management.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';

let house: House;
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-migrate-'));
  house = await startHouse({ tenants: { acme: { grants: [] } } });
  const { account } = house.auth0;
  for (const name of ['Acme', 'Globex nightly'])
    account.clients.push({ id: `m2m-${name.length}`, name, secrets: ['not-read'], grantTypes: ['client_credentials'] });
  account.grants.push(
    { clientId: 'm2m-4', audience: APIS.orders.audience, scopes: ['read:orders'] },
    { clientId: 'm2m-14', audience: 'https://unknown.example.com', scopes: ['read:all'] },
  );
  env = {
    VAULT_ADDR: house.vault.address,
    VAULT_TOKEN: await vaultToken(house, 'postern-operator', { display_name: 'olivia' }),
    AUTH0_DOMAIN: house.auth0.issuer,
    AUTH0_MGMT_TOKEN: await managementToken(house.auth0),
  };
}, 180_000);
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const plan = (...args: string[]): Promise<Ran> => postern(['migrate', 'plan', ...args], { env });

test('an operator plans on a real Vault; the file is private and is not written over', async () => {
  const file = join(folder, 'plan.json');
  const ran = await plan('--json', '--out', file);
  expect(ran.code, ran.stderr).toBe(0);
  const document = JSON.parse(ran.stdout) as { applications: { client_id: string }[] };
  expect(document.applications.find(({ client_id: id }) => id === 'm2m-4')).toMatchObject({
    tenant: 'acme-m2m-4',
    migrate: true,
    grants: [{ api: 'orders', scopes: ['read:orders'] }],
  });
  expect(document.applications.find(({ client_id: id }) => id === 'm2m-14')).toMatchObject({ migrate: false, grants: [] });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(document);
  expect(ran.stdout + ran.stderr).not.toContain('not-read');
  await writeFile(file, 'edited');
  const again = await plan('--out', file);
  expect(again.code).toBe(2);
  expect(await readFile(file, 'utf8')).toBe('edited');
});

test('what is excepted stays, and an unknown one is told', async () => {
  const ran = await plan('--json', '--except', 'm2m-4');
  expect(ran.stdout).not.toContain('"m2m-4"');
  expect((await plan('--except', 'nobody')).code).toBe(4);
});
