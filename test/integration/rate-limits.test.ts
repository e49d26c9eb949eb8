import { request } from 'undici';
import { freePort } from '#dev/port.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startRedis } from '#test/fixture/redis.ts';
import { until } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';

const AUDIENCE = 'https://orders.example.com';
const grants = [{ api: 'orders', scopes: ['read:orders'] }];

let house: House;
let replicas: LocalReplica[];
let operator: string;
beforeAll(async () => {
  house = await startHouse({
    apis: { orders: { audience: AUDIENCE, source: 'transit', scopes: ['read:orders'] } },
    tenants: {
      acme: { grants, limits: { per_day: 6 } },
      globex: { grants },
      initech: { grants, limits: { per_second: 1_000, per_minute: 4 } },
    },
  });
  replicas = await Promise.all([house.startReplica(), house.startReplica()]);
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
});
afterAll(() => house?.stop());

const cli = (...args: string[]) => postern(args, { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator } });

interface Told {
  readonly status: number;
  readonly error: unknown;
  readonly limit: string | undefined;
  readonly policy: string | undefined;
  readonly retryAfter: string | undefined;
}

async function token(replica: LocalReplica, parameters: Record<string, string>): Promise<Told> {
  const { status, headers, body } = await exchange(replica, {}, { audience: AUDIENCE, ...parameters });
  const { ratelimit: limit, 'ratelimit-policy': policy, 'retry-after': retryAfter } = headers;
  return { status, error: body['error'], limit, policy, retryAfter };
}

const bySecret = (replica: LocalReplica, { client_id, client_secret }: Credential): Promise<Told> =>
  token(replica, { client_id, client_secret });

async function verify(replica: LocalReplica, key: string): Promise<Told> {
  const { statusCode, headers, body } = await request(`${replica.issuer}verify?audience=${AUDIENCE}&scope=read:orders`, {
    headers: { 'x-api-key': key },
  });
  const text = await body.text();
  const { ratelimit: limit, 'ratelimit-policy': policy, 'retry-after': retryAfter } = headers as Record<string, string>;
  return { status: statusCode, error: text === '' ? undefined : JSON.parse(text).error, limit, policy, retryAfter };
}

const keyOf = ({ client_id, client_secret }: Credential): string => {
  const key = ApiKey.format('test', client_id, client_secret);
  registerSecret('API key', key);
  return key;
};

describe('a limit of a tenant', () => {
  test('counts what is verified, at every door and by every credential together, and nothing of strangers', async () => {
    const [replica] = replicas as [LocalReplica];
    const [one, two] = [await house.issueSecret('acme'), await house.issueSecret('acme')];
    const login = await house.root.write('auth/approle/login', { role_id: one.client_id, secret_id: one.client_secret });
    const subject = String(login.auth?.['client_token']);
    registerSecret('Vault token', subject);
    for (let guess = 0; guess < 5; guess++)
      expect((await bySecret(replica, { ...one, client_secret: `wrong-${guess}` })).error).toBe('access_denied');

    const left = (told: Told): unknown => [told.status, told.policy, told.limit?.replace(/;t=\d+/, '')];
    const policy = '"tenant-day";q=6;w=86400';
    expect(left(await bySecret(replica, one))).toEqual([200, policy, '"tenant-day";r=5']);
    expect(left(await bySecret(replica, two))).toEqual([200, policy, '"tenant-day";r=4']);
    expect(left(await verify(replica, keyOf(two)))).toEqual([200, policy, '"tenant-day";r=3']);
    const exchanged = await token(replica, {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: VAULT_TOKEN_TYPE,
    });
    expect(exchanged.error === undefined ? left(exchanged) : exchanged).toEqual([200, policy, '"tenant-day";r=2']);
    const refused = await token(replica, { client_id: one.client_id, client_secret: one.client_secret, scope: 'no:such' });
    expect([refused.error, ...(left(refused) as unknown[])]).toEqual(['invalid_scope', 400, policy, '"tenant-day";r=1']);
    expect(left(await verify(replica, keyOf(one)))).toEqual([200, policy, '"tenant-day";r=0']);

    for (const told of [await bySecret(replica, one), await verify(replica, keyOf(two)), await bySecret(replica, two)]) {
      expect(told).toMatchObject({ status: 429, error: 'too_many_requests', policy });
      expect(Number(told.retryAfter)).toBeGreaterThan(86_000);
    }
    // Who guesses hears nothing of it.
    const guess = await bySecret(replica, { ...one, client_secret: 'wrong' });
    expect([guess.status, guess.error, guess.limit]).toEqual([401, 'access_denied', undefined]);
    expect((await bySecret(replica, await house.issueSecret('globex'))).limit).toBeUndefined();
    expect(await replica.events()).toContainEqual(
      expect.objectContaining({ outcome: 'refused', error: 'limit_exceeded', tenant: 'acme', door: 'verify' }),
    );
    // Each replica counts for itself.
    expect((await bySecret(replicas[1]!, one)).status).toBe(200);
  });

  test('of several the one that is used up decides', async () => {
    const initech = await house.issueSecret('initech');
    for (let at = 3; at >= 0; at--)
      expect((await bySecret(replicas[0]!, initech)).limit).toMatch(new RegExp(`"tenant-second";r=\\d+;t=1, "tenant-minute";r=${at};t=`));
    const told = await bySecret(replicas[0]!, initech);
    expect([told.status, Number(told.retryAfter) <= 60 && Number(told.retryAfter) > 30]).toEqual([429, true]);
  });

  test('that an operator changes holds on every replica within 2 s', async () => {
    const globex = await house.issueSecret('globex');
    const everywhere = (wanted: RegExp | undefined): Promise<void> =>
      until(async () => {
        const told = await Promise.all(replicas.map((replica) => bySecret(replica, globex)));
        return told.every(({ policy }) => (wanted === undefined ? policy === undefined : wanted.test(policy ?? '')));
      }, 2_000);
    await everywhere(undefined);
    const set = await cli('tenant', 'create', 'globex', '--update', '--limit', '100/s', '--limit', '20/burst', '--limit', '10000/day');
    expect(set.stdout).toContain('at most 100/s, 10000/d, 20/burst');
    await everywhere(/^"tenant-second";q=100;w=1, "tenant-day";q=10000;w=86400, "tenant-burst";q=20;w=60$/);
    expect((await cli('tenant', 'show', 'globex', '--json')).json['limits']).toEqual({ per_second: 100, per_day: 10_000, burst: 20 });
    // All else may change and they stay.
    await cli('tenant', 'create', 'globex', '--update', '--claim', 'https://example.com/plan=gold');
    expect((await cli('tenant', 'show', 'globex', '--json')).json['limits']).toMatchObject({ per_second: 100 });
    await cli('tenant', 'create', 'globex', '--update', '--no-limit');
    await everywhere(undefined);
    for (const wrong of ['600', '0/s', '20/burst', '5/fortnight'])
      expect(await cli('tenant', 'create', 'globex', '--update', '--limit', wrong)).toMatchObject({ code: 2 });
  });

  test('that can not be read is no limit that is none', async () => {
    const hooli = { grants, client_id: null, limits: { per_sec: 5 } };
    const made = await cli('tenant', 'create', 'hooli', '--grant', 'orders=read:orders');
    expect(made.code).toBe(0);
    const roleId = (await cli('tenant', 'show', 'hooli', '--json')).json['role_id'];
    await house.root.write('postern/data/tenants/hooli', { data: { ...hooli, client_id: roleId } });
    const { data } = await house.root.write('auth/approle/role/hooli/secret-id', {});
    registerSecret('secret_id', String(data?.['secret_id']));
    const told = await bySecret(replicas[0]!, { client_id: roleId, client_secret: String(data?.['secret_id']), accessor: '' });
    expect([told.status, told.error]).toEqual([503, 'temporarily_unavailable']);
  });
});

describe('a limit of an API key', () => {
  test('holds within that of its tenant, is told with the key, and goes on with the one in its place', async () => {
    await cli('tenant', 'create', 'umbrella', '--grant', 'orders=read:orders', '--limit', '1000/day');
    const issued = (await cli('key', 'issue', 'umbrella', '--limit', '2/min', '--name', 'shop', '--json')).json;
    expect(issued['limits']).toEqual({ per_minute: 2 });
    const { key, key_id: keyId } = issued as { key: string; key_id: string };
    const policy = '"tenant-day";q=1000;w=86400, "key-minute";q=2;w=60';
    expect(await verify(replicas[0]!, key)).toMatchObject({ status: 200, policy });
    const { credential } = ApiKey.parse(key)!;
    const asClient = { client_id: credential.clientId, client_secret: credential.reveal(), accessor: '' };
    expect((await bySecret(replicas[0]!, asClient)).limit).toMatch(/"key-minute";r=0/);
    expect(await verify(replicas[0]!, key)).toMatchObject({ status: 429, error: 'too_many_requests', policy });
    // Others of its tenant go on, and so does what is left of the tenant's own.
    const other = (await cli('key', 'issue', 'umbrella', '--json')).json;
    expect((await verify(replicas[0]!, other['key'])).limit).toMatch(/^"tenant-day";r=997;t=\d+$/);
    const rotated = (await cli('key', 'rotate', 'umbrella', keyId, '--overlap', '0', '--json')).json;
    expect(rotated['limits']).toEqual({ per_minute: 2 });
    const listed = (await cli('key', 'list', 'umbrella', '--json')).json['keys'] as Record<string, unknown>[];
    expect(listed.map(({ limits }) => limits)).toEqual(expect.arrayContaining([{ per_minute: 2 }, null]));
    expect(await cli('key', 'issue', 'umbrella', '--limit', '2/hour')).toMatchObject({ code: 2 });
  });
});

describe('with a store (POSTERN_LIMITS_STORE)', () => {
  test('replicas count together, and go on each for itself while it is away, as metric and log say once', async () => {
    await using stack = new AsyncDisposableStack();
    const password = 'canary-limits-password';
    registerSecret('store password', password);
    const redis = stack.adopt(await startRedis({ configuration: [`requirepass ${password}`] }), (one) => one.stop());
    const ports = [await freePort(), await freePort()];
    const env = { POSTERN_LIMITS_STORE: `redis://:${password}@127.0.0.1:${redis.port}` };
    const together = await Promise.all(
      ports.map((port) => house.startReplicaProcess({ env: { ...env, POSTERN_METRICS_LISTEN: `127.0.0.1:${port}` } })),
    );
    const metric = async (port = ports[0]): Promise<string> => (await request(`http://127.0.0.1:${port}/metrics`)).body.text();
    const inMemory = async (): Promise<number> =>
      (await Promise.all(ports.map(async (port) => /counted_total\{where="memory"\} (\d+)/.exec(await metric(port))?.[1])))
        .map(Number)
        .reduce((a, b) => a + b);
    await cli('tenant', 'create', 'stark', '--grant', 'orders=read:orders', '--limit', '6/day');
    const { key } = (await cli('key', 'issue', 'stark', '--json')).json as { key: string };
    const ask = (at: number): Promise<Told> => verify(together[at % 2] as unknown as LocalReplica, key);
    const statuses = async (times: number): Promise<number[]> =>
      (await Promise.all(Array.from({ length: times }, (_, at) => ask(at)))).map(({ status }) => status);
    const good = (await statuses(12)).filter((status) => status === 200).length;
    // A busy machine's store may seem away for a moment: then a replica says that it counts for itself.
    expect(good).toBeGreaterThanOrEqual(6);
    expect(good).toBeLessThanOrEqual(6 + (await inMemory()));
    await until(async () => (await metric()).includes('postern_limits_store_available 1'), 5_000);
    expect((await ask(0)).status).toBe(429);
    await cli('tenant', 'create', 'wayne', '--grant', 'orders=read:orders', '--limit', '1000/day');
    const wayne = (await cli('key', 'issue', 'wayne', '--json')).json as { key: string };
    const go = async (): Promise<number> => (await verify(together[0] as unknown as LocalReplica, wayne.key)).status;
    expect(await go()).toBe(200);
    const before = await inMemory();
    redis.freeze();
    for (let at = 0; at < 4; at++) expect(await go()).toBe(200);
    expect(await metric()).toMatch(/^postern_limits_store_available 0$/m);
    expect(await inMemory()).toBe(before + 4);
    redis.thaw();
    await until(async () => (await metric()).includes('postern_limits_store_available 1'), 5_000);
    expect(await go()).toBe(200);
    const log = await together[0]!.log();
    expect(log.match(/"level":40[^\n]*"msg":"limits are counted by this replica alone/g)?.length).toBeGreaterThan(0);
    expect(log).toMatch(/"msg":"over: limits are counted/);
    expect(log).not.toContain(password);
    await Promise.all(together.map((one) => one.stop()));
  });
});
