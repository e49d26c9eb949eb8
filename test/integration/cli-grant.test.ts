import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';

/* What an operator changes of a customer, with a token that has the operators' policy and no more. */

const ORDERS = 'https://orders.example.com';

let house: House;
let replica: LocalReplica;
let env: Record<string, string>;

beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplica();
  env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await vaultToken(house, 'postern-operator', { display_name: 'olivia' }) };
  expect((await cli('tenant create initech --grant reports=read:reports --default-api reports')).code).toBe(0);
});
afterAll(() => house?.stop());

const cli = (line: string): Promise<Ran> => postern(line.split(' '), { env });

describe('grants', () => {
  test('are added beside those that are there, again without a change, and taken away by scope and by API', async () => {
    expect((await cli('tenant grant add initech orders=read:orders --json')).json).toEqual({
      tenant: 'initech',
      grants: [
        { api: 'reports', scopes: ['read:reports'] },
        { api: 'orders', scopes: ['read:orders'] },
      ],
    });
    const { json: credential } = await cli('secret issue initech --no-wrap --json');
    const as = { client_id: credential['role_id'], client_secret: credential['secret_id'] };
    expect((await exchange(replica, as, { audience: ORDERS, scope: 'read:orders' })).status).toBe(200);

    const both = (await cli('tenant grant add initech orders=write:orders,read:orders --json')).json;
    expect(both['grants'][1]).toEqual({ api: 'orders', scopes: ['read:orders', 'write:orders'] });
    expect((await cli('tenant grant add initech orders=read:orders --json')).json).toEqual(both);
    expect((await cli('tenant grant list initech')).stdout).toBe('reports\tread:reports\norders\tread:orders write:orders\n');

    const asked = await cli('tenant grant remove initech orders=write:orders');
    expect({ code: asked.code, said: asked.stderr }).toEqual({ code: 2, said: expect.stringContaining('--yes') });
    const less = await cli('tenant grant remove initech orders=write:orders --yes --json');
    expect(less.json['grants'][1]).toEqual({ api: 'orders', scopes: ['read:orders'] });
    expect((await cli('tenant grant remove initech orders --yes --json')).json['grants']).toEqual([
      { api: 'reports', scopes: ['read:reports'] },
    ]);
    await expect.poll(async () => (await exchange(replica, as, { audience: ORDERS })).status, { timeout: 2_500, interval: 50 }).toBe(403);
  });

  test.each([
    ['add initech payroll=read', 2, 'there is no API "payroll"'],
    ['add initech orders=steal', 2, 'it has read:orders, write:orders'],
    ['add initech orders', 2, 'api=scope1,scope2'],
    ['add nobody orders=read:orders', 4, 'no tenant "nobody"'],
    ['remove initech orders --yes', 4, 'no grant for the API "orders"'],
    ['remove initech reports=write:reports --yes', 4, 'does not have write:reports'],
    ['remove initech reports= --yes', 2, 'names no scope'],
    ['remove initech reports --yes', 4, '--no-default-api'],
  ])('%s is refused in words, and changes nothing', async (line, code, words) => {
    const before = (await cli('tenant show initech --json')).json;
    const { code: got, stderr } = await cli(`tenant grant ${line}`);
    expect(got, stderr).toBe(code);
    expect(stderr).toContain(words);
    expect((await cli('tenant show initech --json')).json).toEqual(before);
  });

  test('of two who add at once none is lost', async () => {
    expect((await cli('tenant create crowded')).code).toBe(0);
    const added = ['orders=read:orders', 'orders=write:orders', 'reports=read:reports'].map(async (grant) => {
      // Whoever lost the race is told so, and repeats.
      for (;;) if ((await cli(`tenant grant add crowded ${grant}`)).code === 0) return;
    });
    await Promise.all(added);
    const { grants } = (await cli('tenant grant list crowded --json')).json as { grants: { api: string; scopes: string[] }[] };
    expect(Object.fromEntries(grants.map(({ api, scopes }) => [api, scopes]))).toEqual({
      orders: ['read:orders', 'write:orders'],
      reports: ['read:reports'],
    });
  });

  test("a tenant of Terraform's is changed, with a warning; one of operators' without", async () => {
    const [ofTerraform] = (await cli('tenant list')).stdout.split('\t');
    expect(ofTerraform).toBe('acme');
    const changed = await cli('tenant grant add acme orders=read:orders');
    expect(changed.code, changed.stderr).toBe(0);
    expect(changed.stderr).toContain("acme is Terraform's");
    expect((await cli('tenant create acme --update --token-ttl 5m')).stderr).toContain('the next apply undoes this');
    expect((await cli('tenant grant add initech reports=read:reports')).stderr).not.toContain('Terraform');
  });
});

test('APIs are listed and shown, to operators and auditors', async () => {
  const { apis } = (await cli('api list --json')).json as { apis: { name: string; audience: string }[] };
  expect(apis.map(({ name }) => name)).toEqual(expect.arrayContaining(['orders', 'reports']));
  const auditor = await vaultToken(house, 'postern-auditor', {});
  const shown = await postern(['api', 'show', 'orders', '--json'], { env: { ...env, VAULT_TOKEN: auditor } });
  expect(shown.json).toMatchObject({ name: 'orders', audience: ORDERS, scopes: ['read:orders', 'write:orders'] });
  const missing = await cli('api show payroll');
  expect({ code: missing.code, said: missing.stderr }).toEqual({ code: 4, said: expect.stringContaining('There is orders') });
  expect((await cli(`api show ${ORDERS}`)).code).toBe(2);
});
