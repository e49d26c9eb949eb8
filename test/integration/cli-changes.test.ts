import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
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
    await expect.poll(async () => (await exchange(replica, as, { audience: ORDERS })).status, { interval: 50 }).toBe(403);
  });

  test.each([
    ['add initech billing=read', 2, 'there is no API "billing"'],
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
  const missing = await cli('api show billing');
  expect({ code: missing.code, said: missing.stderr }).toEqual({ code: 4, said: expect.stringContaining('There is orders') });
  expect((await cli(`api show ${ORDERS}`)).code).toBe(2);
});

describe('secret rotate', () => {
  interface Listed {
    accessor: string;
    name: string | null;
    cidrs: string[];
  }
  const secrets = async (tenant: string): Promise<Listed[]> => (await cli(`secret list ${tenant} --json`)).json['secret_ids'] as Listed[];
  const login = async (credential: Record<string, any>): Promise<number> =>
    (await exchange(replica, { client_id: credential['role_id'], client_secret: credential['secret_id'] }, {})).status;

  test('both are good during the overlap; the old one ends with it, and the new one is like it', async () => {
    expect((await cli('tenant create turning --grant reports=read:reports --default-api reports')).code).toBe(0);
    const old = (await cli('secret issue turning --no-wrap --json --name nightly --ttl 90d')).json;
    const { code, json: made, stderr } = await cli('secret rotate turning --no-wrap --overlap 1h --json');
    expect(code, stderr).toBe(0);
    registerSecret('secret_id', made['secret_id']);
    expect(made).toMatchObject({ tenant: 'turning', name: 'nightly', replaces: old['accessor'], abandoned: [] });
    expect(Date.parse(made['expires_at']) - Date.now()).toBeGreaterThan(89 * 86_400_000);
    expect(Date.parse(made['replaces_until']) - Date.now()).toBeLessThan(3_700_000);
    expect([await login(old), await login(made)]).toEqual([200, 200]);
    expect((await secrets('turning')).length).toBe(2);

    // The same command again is about the one in its place, and never about the one whose end is set.
    const again = await cli(`secret rotate turning ${old['accessor']}`);
    expect({ code: again.code, said: again.stderr }).toEqual({ code: 4, said: expect.stringContaining('is replaced already and ends at') });
    const next = (await cli('secret rotate turning --no-wrap --overlap 0 --json')).json;
    expect(next['replaces']).toBe(made['accessor']);
    expect(await login(next)).toBe(200);
    await expect.poll(() => login(made), { interval: 50 }).toBe(401);
    expect((await secrets('turning')).map(({ accessor }) => accessor).sort()).toEqual([old['accessor'], next['accessor']].sort());

    // After a successor was revoked the message names what to do.
    expect((await cli(`secret revoke turning ${next['accessor']}`)).code).toBe(0);
    const stuck = await cli('secret rotate turning');
    expect({ code: stuck.code, said: stuck.stderr }).toEqual({ code: 4, said: expect.stringContaining('is revoked') });
  });

  test('one whose overlap is over is revoked by the next look, or by the nightly prune', async () => {
    expect((await cli('tenant create later')).code).toBe(0);
    const old = (await cli('secret issue later --json')).json;
    expect((await cli('secret rotate later --overlap 1s')).code).toBe(0);
    await expect
      .poll(async () => (await cli('key prune later --json')).json['secret_ids'])
      .toEqual([{ tenant: 'later', accessor: old['accessor'] }]);
    expect((await secrets('later')).length).toBe(1);
  });

  test('interrupted after it issued, the next run revokes what nobody need have seen', async () => {
    expect((await cli('tenant create halfway')).code).toBe(0);
    const old = (await cli('secret issue halfway --json')).json;
    const path = 'auth/approle/role/halfway/secret-id';
    // As a run that was killed between issuing and showing leaves it.
    await house.root.write('postern/data/keys/halfway', {
      data: { rotations: [], secrets: [{ accessor: old['accessor'], new_id: 'cred_000000000000000000000001', until: null }] },
    });
    const { data } = await house.root.write(path, {
      metadata: JSON.stringify({ credential_id: 'cred_000000000000000000000001', replaces: old['accessor'] }),
    });
    registerSecret('secret_id', String(data?.['secret_id']));
    const made = (await cli('secret rotate halfway --json')).json;
    expect(made).toMatchObject({ replaces: old['accessor'], abandoned: [data?.['secret_id_accessor']] });
    expect((await secrets('halfway')).map(({ accessor }) => accessor).sort()).toEqual([old['accessor'], made['accessor']].sort());
  });

  test('of several it asks which, and a key is another command', async () => {
    expect((await cli('tenant create several')).code).toBe(0);
    expect((await cli('secret rotate several')).code).toBe(4);
    const [one] = [(await cli('secret issue several --json')).json, await cli('secret issue several --json')];
    const asked = await cli('secret rotate several');
    expect({ code: asked.code, said: asked.stderr }).toEqual({
      code: 2,
      said: expect.stringContaining(`rotate several ${one?.['accessor']}`),
    });
    const key = (await cli('key issue several --json')).json;
    expect((await cli(`secret rotate several ${key['accessor']}`)).stderr).toContain(`postern key rotate several ${key['key_id']}`);
  });
});

describe('key rotate --all', () => {
  test('rotates each key once, again only what is left; a revoked successor is told with what to do', async () => {
    expect((await cli('tenant create keyed --grant reports=read:reports')).code).toBe(0);
    const issued = [];
    for (const name of ['a', 'b', 'c'])
      issued.push((await cli(`key issue keyed --json --name ${name} --scope read:reports`)).json['key_id']);
    const first = await cli('key rotate keyed --all --overlap 1h');
    expect(first.code, first.stderr).toBe(0);
    const lines = first.stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    for (const [, , key] of lines) registerSecret('api key', key ?? '');
    expect(lines.map(([old]) => old)).toEqual(issued);
    const again = await cli('key rotate keyed --all --overlap 1h');
    expect({ code: again.code, out: again.stdout, said: again.stderr }).toEqual({
      code: 0,
      out: '',
      said: expect.stringContaining('3 had been within'),
    });
    // One more since, and that alone.
    const late = (await cli('key issue keyed --json --name d')).json['key_id'];
    const one = await cli('key rotate keyed --all --overlap 0 --json');
    registerSecret('api key', JSON.parse(one.stdout).key);
    expect(JSON.parse(one.stdout)).toMatchObject({ replaces: late });
    expect((await cli('key rotate keyed --all --overlap 0')).stdout).toBe('');
    const { keys } = (await cli('key list keyed --json')).json as { keys: { key_id: string; state: string }[] };
    expect(keys.map(({ state }) => state).sort()).toEqual(['active', 'active', 'active', 'active', 'ending', 'ending', 'ending']);
    const page = (await cli(`key list keyed --json --limit 3 --after ${keys[1]?.key_id}`)).json;
    expect(page).toMatchObject({ keys: keys.slice(2, 5), next: keys[4]?.key_id });
    expect((await cli(`key list keyed --json --limit 3 --after ${keys[4]?.key_id}`)).json).toMatchObject({
      keys: keys.slice(5),
      next: null,
    });

    expect((await cli(`key revoke keyed ${lines[0]?.[1]}`)).code).toBe(0);
    const stuck = await cli(`key rotate keyed ${issued[0]}`);
    expect({ code: stuck.code, said: stuck.stderr }).toEqual({
      code: 4,
      said: expect.stringMatching(/is revoked; it ends at [^]*postern key issue keyed --name "a" --scope read:reports/),
    });
  }, 180_000);

  test.each(['key rotate keyed', 'key rotate keyed key_0f1e2d3c4b5a69788796a5b4 --all'])('%s is wrong input', async (line) => {
    expect((await cli(line)).code).toBe(2);
  });
});

describe('signing-key', () => {
  const published = async (): Promise<number> =>
    ((await (await fetch(new URL('.well-known/jwks.json', replica.issuer))).json()) as { keys: unknown[] }).keys.length;

  test('is rotated, and old versions are retired when no token of theirs is alive, or by force', async () => {
    const before = (await cli('signing-key list --json')).json['versions'] as { version: number }[];
    const asked = await cli('signing-key rotate');
    expect({ code: asked.code, said: asked.stderr }).toEqual({ code: 2, said: expect.stringContaining('--yes') });
    const { versions } = (await cli('signing-key rotate --yes --json')).json as { versions: { version: number; state: string }[] };
    const newest = before.length + 1;
    expect(versions.map(({ version, state }) => [version, state]).slice(-2)).toEqual([
      [newest - 1, 'published'],
      [newest, 'newest'],
    ]);
    const early = await cli(`signing-key retire --before ${newest} --yes`);
    expect({ code: early.code, said: early.stderr }).toEqual({ code: 4, said: expect.stringContaining('may be alive until') });
    expect((await cli(`signing-key retire --before ${newest + 1} --yes --force`)).code).toBe(2);
    const auditor = await vaultToken(house, 'postern-auditor', {});
    const denied = await postern(['signing-key', 'retire', '--before', String(newest), '--force', '--yes'], {
      env: { ...env, VAULT_TOKEN: auditor },
    });
    expect(denied.code).toBe(3);

    const left = (await cli(`signing-key retire --before ${newest} --force --yes --json`)).json;
    expect(left).toMatchObject({ versions: [{ version: newest, state: 'newest' }], retired: newest - 1 });
    // At once, though the broker read the key before.
    const { json: credential } = await cli('secret issue initech --no-wrap --json');
    const as = { client_id: credential['role_id'], client_secret: credential['secret_id'] };
    expect((await exchange(replica, as, {})).status).toBe(200);
    expect(await published()).toBe(1);
  }, 120_000);
});

test('what is cached is listed by tenant and API and thrown away, and never read', async () => {
  const { json: credential } = await cli('secret issue initech --no-wrap --json');
  const as = { client_id: credential['role_id'], client_secret: credential['secret_id'] };
  expect((await exchange(replica, as, {})).status).toBe(200);
  const mine = { tenant: 'initech', api: 'reports', digest: null };
  expect((await cli('cache list --json')).json['entries']).toContainEqual(mine);
  expect((await cli('cache list initech --json')).json['entries']).toContainEqual(mine);
  expect((await cli('cache drop initech')).code).toBe(2);
  expect((await cli('cache drop initech --api orders --yes --json')).json['dropped']).toBe(0);
  expect((await cli('cache drop initech --api reports --yes --json')).json['dropped']).toBeGreaterThan(0);
  expect((await cli('cache list initech')).stdout).toBe('');
  expect((await exchange(replica, as, {})).status).toBe(200);
  expect((await cli('cache drop ../x --yes')).code).toBe(2);
});
