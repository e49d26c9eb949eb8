import { setTimeout as sleep } from 'node:timers/promises';
import { fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeJwt } from 'jose';
import { API_KEY, ApiKey } from '#broker/credential/api-key.ts';
import { usagePath } from '#broker/vault/usage.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica, Reply } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { untilAll } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';

/*
 * API keys end to end: the real CLI as an operator issues them, and three brokers serve them by /oauth/token (with the two halves of
 * the key) and by /verify (with the key itself).
 */

const ORDERS = { audience: 'https://orders.example.com' };
const REPORTS = { audience: 'https://reports.example.com' };
/** Written every second, so that a test need not wait five minutes. */
const USAGE = { POSTERN_USAGE_INTERVAL: '1' };

let house: House;
let replicas: LocalReplica[];
let operator: string;
let auditor: string;

beforeAll(async () => {
  house = await startHouse({
    apis: {
      orders: { audience: ORDERS.audience, source: 'transit', scopes: ['read:orders', 'write:orders'] },
      reports: { audience: REPORTS.audience, source: 'transit', scopes: ['read:reports'] },
    },
    tenants: {
      acme: {
        grants: [
          { api: 'orders', scopes: ['read:orders', 'write:orders'] },
          { api: 'reports', scopes: ['read:reports'] },
        ],
      },
      globex: { grants: [{ api: 'orders', scopes: ['read:orders'] }] },
      // Where the brokers of these tests are, in a container network too; and where nobody is.
      near: {
        grants: [{ api: 'orders', scopes: ['read:orders'] }],
        vault_cidrs: ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
      },
      far: { grants: [{ api: 'orders', scopes: ['read:orders'] }], vault_cidrs: ['192.0.2.0/24'] },
    },
  });
  replicas = await Promise.all([
    house.startReplica({ env: USAGE }),
    house.startReplica({ env: USAGE }),
    house.startReplica({ env: USAGE }),
  ]);
  [operator, auditor] = await Promise.all([
    vaultToken(house, 'postern-operator', { display_name: 'olivia' }),
    vaultToken(house, 'postern-auditor', { display_name: 'olivia' }),
  ]);
});
afterAll(() => house?.stop());

const cli = (args: readonly string[], token = operator): Promise<Ran> =>
  postern(['key', ...args], { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: token } });

interface Issued {
  key: string;
  key_id: string;
  accessor: string;
  expires_at: string | null;
  scopes: string[] | null;
  cidrs: string[];
}

async function issue(tenant: string, ...options: string[]): Promise<Issued> {
  const { code, json, stderr } = await cli(['issue', tenant, '--json', ...options]);
  if (code !== 0) throw new Error(`key issue: ${stderr}`);
  registerHalves(json['key']);
  return json as Issued;
}

function registerHalves(key: string): void {
  registerSecret('api key', key);
  registerSecret('secret_id', ApiKey.parse(key)!.credential.reveal());
}

/** By the two halves of the key. */
function atToken(
  replica: LocalReplica,
  key: string,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const { credential } = ApiKey.parse(key)!;
  return exchange(replica, { client_id: credential.clientId, client_secret: credential.reveal() }, parameters, { headers });
}

/** By the key, as a gateway asks. */
async function atVerify(replica: LocalReplica, key: string, query: Record<string, string> = ORDERS, headers: Record<string, string> = {}) {
  const response = await fetch(`${replica.issuer}verify?${new URLSearchParams(query).toString()}`, {
    headers: { 'X-API-Key': key, ...headers },
  });
  await response.arrayBuffer();
  const token = response.headers.get('authorization')?.slice('Bearer '.length);
  if (token) registerSecret('access token', token);
  return {
    status: response.status,
    token,
    scope: response.headers.get('x-postern-scope'),
    tenant: response.headers.get('x-postern-tenant'),
  };
}

const statuses = (key: string): Promise<number[]> =>
  Promise.all(
    replicas.flatMap((replica) => [
      atToken(replica, key, ORDERS).then(({ status }) => status),
      atVerify(replica, key).then(({ status }) => status),
    ]),
  );

const ALL = (status: number): number[] => Array.from({ length: 6 }, () => status);

const untilRefused = (key: string, limitMs: number): Promise<number> => untilAll(401, () => statuses(key), limitMs);

const listed = async (tenant: string, token = operator): Promise<Record<string, any>[]> =>
  (await cli(['list', tenant, '--json'], token)).json['keys'];
const one = async (keyId: string, token = operator) => (await listed('acme', token)).find(({ key_id: id }) => id === keyId)!;

describe('a key', () => {
  test('is one string on stdout, and opens every door with all that its tenant has', async () => {
    const { code, stdout, stderr } = await cli(['issue', 'acme', '--name', 'web shop']);
    expect(code).toBe(0);
    const key = stdout.trim();
    registerHalves(key);
    expect(key).toMatch(API_KEY);
    expect(key).toMatch(/^postern_live_/);
    expect(stderr).toContain('shown this once');
    expect(stderr).not.toContain(key);
    expect(ApiKey.parse(key)!.credential.clientId).toBe(house.roleIds['acme']);
    expect(await statuses(key)).toEqual(ALL(200));
    const { body } = await atToken(replicas[0]!, key, ORDERS);
    expect(body['scope']).toBe('read:orders write:orders');
    expect(await atVerify(replicas[0]!, key)).toMatchObject({ tenant: 'acme', scope: 'read:orders write:orders' });
  });

  test('is listed by what it is, and never itself', async () => {
    const issued = await issue(
      'acme',
      '--name',
      'nightly',
      '--ttl',
      '1h',
      '--environment',
      'test',
      '--scope',
      'write:orders',
      '--scope',
      'read:orders',
      '--cidr',
      '127.0.0.0/8',
    );
    expect(issued.key).toMatch(/^postern_test_/);
    for (const token of [operator, auditor]) {
      expect(await one(issued.key_id, token)).toEqual({
        tenant: 'acme',
        owner: null,
        organization: null,
        key_id: issued.key_id,
        accessor: issued.accessor,
        name: 'nightly',
        environment: 'test',
        scopes: ['read:orders', 'write:orders'],
        cidrs: ['127.0.0.0/8'],
        issued_by: 'token-olivia',
        issued_at: expect.stringMatching(/^20/) as string,
        expires_at: issued.expires_at,
        limits: null,
        last_used_at: null,
        state: 'active',
        replaces: null,
        replaced_by: null,
      });
    }
    const life = Date.parse(issued.expires_at!) - Date.now();
    expect(life).toBeGreaterThan(3_500_000);
    expect(life).toBeLessThanOrEqual(3_600_500);
    const { stdout } = await cli(['list', 'acme']);
    expect(stdout).toContain(issued.key_id);
    expect(stdout).not.toContain(issued.key);
    // A plain secret_id is not a key.
    await house.issueSecret('globex');
    expect(await listed('globex')).toEqual([]);
  });

  test('that is narrowed gets no more on any door, and one of the same tenant that is not still gets all', async () => {
    const narrow = await issue('acme', '--scope', 'read:orders');
    const whole = await issue('acme');
    for (const replica of replicas) {
      // Turn by turn: what one key gets must never come out of the other's cache.
      for (let turn = 0; turn < 3; turn++) {
        const [a, b] = await Promise.all([atToken(replica, narrow.key, ORDERS), atToken(replica, whole.key, ORDERS)]);
        expect([a.body['scope'], b.body['scope']]).toEqual(['read:orders', 'read:orders write:orders']);
        expect(decodeJwt(String(a.body['access_token']))['scope']).toBe('read:orders');
        const [c, d] = await Promise.all([atVerify(replica, narrow.key), atVerify(replica, whole.key)]);
        expect([c.scope, d.scope]).toEqual(['read:orders', 'read:orders write:orders']);
        expect(decodeJwt(c.token!)['scope']).toBe('read:orders');
      }
      expect((await atToken(replica, narrow.key, { ...ORDERS, scope: 'write:orders' })).body).toMatchObject({
        error: 'invalid_scope',
        error_description: 'Client has not been granted scopes: write:orders',
      });
      expect((await atVerify(replica, narrow.key, { ...ORDERS, scope: 'write:orders' })).status).toBe(403);
      expect((await atToken(replica, narrow.key, REPORTS)).body).toMatchObject({ error: 'access_denied' });
      expect((await atVerify(replica, narrow.key, REPORTS)).status).toBe(403);
      expect((await atToken(replica, whole.key, REPORTS)).status).toBe(200);
    }
  });

  test('whose limit somebody garbled gets nothing', async () => {
    for (const metadata of [{ key_id: 'key_000000000000000000000009', scopes: 'read:orders  write:orders' }, { key_id: 'x' }]) {
      const { data } = await house.root.write('auth/approle/role/acme/secret-id', { metadata: JSON.stringify(metadata) });
      const client_secret = String(data?.['secret_id']);
      registerSecret('secret_id', client_secret);
      const reply = await exchange(replicas[0]!, { client_id: house.roleIds['acme'] ?? '', client_secret }, ORDERS);
      expect([reply.status, reply.body['error']]).toEqual([503, 'temporarily_unavailable']);
    }
  });

  test(
    "opens nothing at Vault itself where the tenant's Vault tokens are bound to the brokers' addresses; " + 'else it does, unnarrowed',
    async () => {
      const atVault = async (tenant: string): Promise<number> => {
        const { key } = await issue(tenant, '--scope', 'read:orders');
        const { credential } = ApiKey.parse(key)!;
        const { auth } = await house.root.write('auth/approle/login', { role_id: credential.clientId, secret_id: credential.reveal() });
        const token = String(auth?.['client_token']);
        registerSecret('Vault token', token);
        return (await fetch(`${house.vault.address}/v1/postern/data/tenants/${tenant}`, { headers: { 'X-Vault-Token': token } })).status;
      };
      expect([await atVault('acme'), await atVault('near'), await atVault('far')]).toEqual([200, 200, 403]);
      expect((await atVerify(replicas[0]!, (await issue('near')).key)).status).toBe(200);
      // Brokers that are not where the tenant's tokens may be used from can't serve it: an operator's mistake, no wrong key.
      expect((await atVerify(replicas[0]!, (await issue('far')).key)).status).toBe(503);
    },
  );

  test('stops within 2 s on three replicas when it is revoked, by key id or by accessor, and its neighbours go on', async () => {
    const [byId, byAccessor, other] = [await issue('acme'), await issue('acme'), await issue('acme')];
    expect([await statuses(byId.key), await statuses(byAccessor.key)]).toEqual([ALL(200), ALL(200)]);
    const { code, json } = await cli(['revoke', 'acme', byId.key_id, byAccessor.accessor, '--json']);
    expect([code, json['revoked'].toSorted(), json['missing']]).toEqual([0, [byId.key_id, byAccessor.accessor].toSorted(), []]);
    expect(Math.max(...(await Promise.all([untilRefused(byId.key, 10_000), untilRefused(byAccessor.key, 10_000)])))).toBeLessThan(2000);
    expect(await statuses(other.key)).toEqual(ALL(200));
    const again = await cli(['revoke', 'acme', byId.key_id, '--json']);
    expect([again.code, again.json['revoked'], again.json['missing']]).toEqual([4, [], [byId.key_id]]);
    expect(again.json['epoch']).toBe(json['epoch'] + 1);
  });

  test('goes with all others by --all, while plain secret_ids go on', async () => {
    const keys = [await issue('near'), await issue('near')];
    const plain = await house.issueSecret('near');
    const unasked = await cli(['revoke', 'near', '--all']);
    expect([unasked.code, unasked.stdout]).toEqual([2, '']);
    const { code, json } = await cli(['revoke', 'near', '--all', '--yes', '--json']);
    expect(code).toBe(0);
    expect(json['revoked']).toEqual(expect.arrayContaining(keys.map(({ key_id: keyId }) => keyId)));
    for (const { key } of keys) expect(await untilRefused(key, 10_000)).toBeLessThan(2000);
    expect((await exchange(replicas[0]!, plain, ORDERS)).status).toBe(200);
    expect((await cli(['revoke', 'near', '--all', '--yes', '--json'])).json).toEqual({
      tenant: 'near',
      revoked: [],
      missing: [],
      epoch: null,
    });
  });

  test('ends at its own time, though its verification is remembered', async () => {
    // The CLI's shortest life is a minute, so this one is made as the CLI makes them, for 3 s.
    const metadata = {
      key_id: 'key_00000000000000000000000a',
      scopes: 'read:orders',
      expires_at: String(Math.floor(Date.now() / 1000) + 3),
    };
    const { data } = await house.root.write('auth/approle/role/acme/secret-id', { ttl: '3s', metadata: JSON.stringify(metadata) });
    const key = ApiKey.format('live', house.roleIds['acme']!, String(data?.['secret_id']));
    registerHalves(key);
    expect(await statuses(key)).toEqual(ALL(200));
    expect(await untilRefused(key, 10_000)).toBeLessThan(4000);
  });
});

describe('issuing', () => {
  test.each([
    ['a scope that the tenant lacks', ['globex', '--scope', 'write:orders'], 2, 'globex is not granted write:orders'],
    ['a scope that nobody has', ['acme', '--scope', 'read:orders', '--scope', 'admin'], 2, 'acme is not granted admin'],
    ['two scopes in one option', ['acme', '--scope', 'read:orders write:orders'], 2, 'is not an OAuth scope'],
    ['an environment in capitals', ['acme', '--environment', 'Live'], 2, 'a-z and 0-9'],
    ['an environment that is too long', ['acme', '--environment', 'x'.repeat(17)], 2, '1 to 16'],
    ['a life of a second', ['acme', '--ttl', '1'], 2, 'ttl'],
    ['a malformed block', ['acme', '--cidr', '300.0.0.0/8'], 2, 'cidr'],
    ['no such tenant', ['umbrella'], 4, 'There is no tenant'],
  ])('refuses %s, and leaves nothing behind', async (_what, args, code, said) => {
    const accessors = async (): Promise<string[]> =>
      (await Promise.all(['acme', 'globex'].map((tenant) => house.root.list(`auth/approle/role/${tenant}/secret-id`)))).flat();
    const before = await accessors();
    const ran = await cli(['issue', ...args]);
    expect([ran.code, ran.stdout]).toEqual([code, '']);
    expect(ran.stderr).toContain(said);
    // Meanwhile Vault may tidy away what ended in tests before.
    expect((await accessors()).filter((one) => !before.includes(one))).toEqual([]);
  });

  test('has no key for a tenant whose role_id somebody chose: it says what to do, and leaves nothing behind', async () => {
    await house.root.write('auth/approle/role/custom', { token_type: 'batch', token_policies: ['postern-tenant'], bind_secret_id: true });
    await house.root.write('auth/approle/role/custom/role-id', { role_id: 'chosen-by-an-operator' });
    const { code, stdout, stderr } = await cli(['issue', 'custom']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('role_id of its own choice');
    expect(stderr).toContain('postern secret issue');
    expect(await house.root.list('auth/approle/role/custom/secret-id')).toEqual([]);
  });

  test('is not for auditors', async () => {
    expect((await cli(['issue', 'acme'], auditor)).code).toBe(3);
  });
});

describe('the last use', () => {
  test('is known from every replica, and the latest counts', async () => {
    const issued = await issue('acme', '--name', 'busy');
    const start = Math.floor(Date.now() / 60_000) * 60_000;
    await atVerify(replicas[1]!, issued.key);
    await expect
      .poll(() => one(issued.key_id), { timeout: 10_000, interval: 300 })
      .toMatchObject({ last_used_at: expect.stringMatching(/:00\.000Z$/) as string });
    const seen = Date.parse((await one(issued.key_id))['last_used_at']);
    expect(seen).toBeGreaterThanOrEqual(start);
    expect(seen).toBeLessThanOrEqual(Date.now());
    const { stdout } = await cli(['list', 'acme']);
    expect(stdout).toContain(new Date(seen).toISOString());
  });

  test('costs no request a write: 500 requests of one key, and its document has one version more at most', async () => {
    const issued = await issue('acme');
    const path = `postern/data/${usagePath('key', issued.key_id)}`;
    await atVerify(replicas[0]!, issued.key);
    await expect
      .poll(async () => (await house.root.read(path))?.data?.['data'], { timeout: 10_000 })
      .toMatchObject({ used: { [issued.key_id]: expect.any(Number) as number } });
    const version = async () => ((await house.root.read(path))!.data!['metadata'] as { version: number }).version;
    const [before, calls] = [await version(), replicas[0]!.calls().vault];
    for (let n = 0; n < 500; n++) expect((await atVerify(replicas[0]!, issued.key)).status).toBe(200);
    await sleep(1500);
    // Vault verifies it again after 30 s, which is the next use that counts.
    expect((await version()) - before).toBeLessThanOrEqual(1);
    // Nothing but the looks at the announcements, once a second, and re-verification.
    expect(replicas[0]!.calls().vault - calls).toBeLessThan(60);
  });

  test('is written at the end of a broker, whatever its interval', async () => {
    const issued = await issue('acme');
    const replica = await house.startReplica({ env: { POSTERN_USAGE_INTERVAL: '86400' } });
    await atVerify(replica, issued.key);
    expect((await one(issued.key_id))['last_used_at']).toBeNull();
    await replica.stop();
    expect((await one(issued.key_id))['last_used_at']).not.toBeNull();
  });
});
