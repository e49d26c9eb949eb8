import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultReplay } from '#broker/vault/replay.ts';
import { OwnAppRole } from '#broker/vault/own/approle.ts';
import { VaultSession } from '#broker/vault/session.ts';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica, Reply } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { assertionOf, forge, forgeries, goodClaims } from './assertion.forgeries.ts';
import type { ClientSigner } from './assertion.forgeries.ts';
import { postern } from './cli-run.ts';

/* private_key_jwt (RFC 7523) with three replicas on the real Vault, provisioned by Terraform. */

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** One for all replicas, as behind a load balancer. */
const ISSUER = 'https://tokens.example.com/';
const ENDPOINT = `${ISSUER}oauth/token`;
const ORDERS = { audience: APIS.orders.audience };
const REPORTS = { audience: APIS.reports.audience };

let house: House;
let replicas: LocalReplica[];
let acme: Credential;
let rsa: ClientSigner;
let ec: ClientSigner;
let globex: ClientSigner;

const pemOf = ({ publicKey }: { publicKey: KeyObject }): string => publicKey.export({ type: 'spki', format: 'pem' }).toString();
const ecPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pairs = { rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }), ec: ecPair(), globex: ecPair(), next: ecPair(), bound: ecPair() };

const tenants = (acmeKeys: readonly { pem: string; kid?: string }[]) => ({
  acme: { ...TENANTS.acme, assertion_keys: acmeKeys },
  globex: { ...TENANTS.globex, assertion_keys: [{ pem: pemOf(pairs.globex) }] },
  initech: { grants: [{ api: 'reports', scopes: ['read:reports'] }] },
  // Bound to addresses: one that is not ours, by either list, and one that is.
  ...Object.fromEntries(
    // A Vault in a container sees its network's gateway, not loopback.
    Object.entries({
      elsewhere: { cidrs: ['192.0.2.0/24'] },
      walled: { vault_cidrs: ['192.0.2.0/24'] },
      here: { cidrs: ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'] },
    }).map(([tenant, bound]) => [
      tenant,
      { grants: [{ api: 'reports', scopes: ['read:reports'] }], assertion_keys: [{ pem: pemOf(pairs.bound) }], ...bound },
    ]),
  ),
});

beforeAll(async () => {
  house = await startHouse({
    variables: { issuer: ISSUER },
    tenants: tenants([
      { pem: pemOf(pairs.rsa), kid: 'first' },
      { pem: pemOf(pairs.ec), kid: 'second' },
    ]),
  });
  const env = { POSTERN_ISSUER: ISSUER, POSTERN_THROTTLE_ADDRESS: '1000000', POSTERN_THROTTLE_CLIENT: '1000000' };
  replicas = await Promise.all([1, 2, 3].map(() => house.startReplica({ env })));
  acme = await house.issueSecret('acme');
  rsa = { clientId: acme.client_id, ...pairs.rsa, kid: 'first' };
  ec = { clientId: acme.client_id, ...pairs.ec, kid: 'second' };
  globex = { clientId: house.roleIds['globex'] ?? '', ...pairs.globex };
});
afterAll(() => house?.stop());

const at = (index: number): LocalReplica => {
  const replica = replicas[index];
  if (replica === undefined) throw new Error('no such replica');
  return replica;
};

async function post(parameters: Record<string, string>, replica: LocalReplica = at(0), path = 'oauth/token'): Promise<Reply> {
  const response = await fetch(`${replica.issuer}${path}`, { method: 'POST', body: new URLSearchParams(parameters), redirect: 'error' });
  const text = await response.text();
  const body = JSON.parse(text) as Record<string, unknown>;
  if (typeof body['access_token'] === 'string') registerSecret('access token', body['access_token']);
  return { status: response.status, headers: Object.fromEntries(response.headers), text, body };
}

const present = (jwt: string, parameters: Record<string, string> = ORDERS, replica: LocalReplica = at(0)): Promise<Reply> =>
  post({ grant_type: 'client_credentials', client_assertion_type: TYPE, client_assertion: jwt, ...parameters }, replica);

describe('an assertion is as good as a secret', () => {
  test.each<[string, () => string]>([
    ['RS256, aud the issuer', () => assertionOf(rsa, ISSUER)],
    ['RS256, aud the token endpoint', () => assertionOf(rsa, ENDPOINT)],
    ['RS256, aud both', () => assertionOf(rsa, ISSUER, { aud: [ISSUER, ENDPOINT] })],
    ['RS384', () => forge({ alg: 'RS384', kid: 'first' }, goodClaims(rsa, ISSUER), rsa.privateKey)],
    ['PS256', () => forge({ alg: 'PS256', kid: 'first' }, goodClaims(rsa, ISSUER), rsa.privateKey)],
    ['ES256', () => assertionOf(ec, ISSUER)],
    ['ES256 without a kid', () => forge({ alg: 'ES256' }, goodClaims(ec, ISSUER), ec.privateKey)],
    ['typ JWT', () => assertionOf(rsa, ISSUER, {}, { typ: 'JWT' })],
    ['typ of the successor of RFC 7523', () => assertionOf(rsa, ISSUER, {}, { typ: 'client-authentication+jwt' })],
    [
      'a clock 25 s ahead',
      () => assertionOf(rsa, ISSUER, { iat: Math.floor(Date.now() / 1000) + 25, nbf: Math.floor(Date.now() / 1000) + 25 }),
    ],
    [
      'a clock 25 s behind',
      () => assertionOf(rsa, ISSUER, { iat: Math.floor(Date.now() / 1000) - 85, exp: Math.floor(Date.now() / 1000) - 25 }),
    ],
    ['without iat', () => assertionOf(rsa, ISSUER, { iat: undefined })],
    ['five minutes long', () => assertionOf(rsa, ISSUER, { exp: Math.floor(Date.now() / 1000) + 300 })],
  ])('%s', async (_what, make) => {
    const reply = await present(make());
    expect(reply.status, reply.text).toBe(200);
    expect(reply.body).toEqual({
      access_token: expect.any(String),
      scope: 'read:orders write:orders',
      token_type: 'Bearer',
      expires_in: expect.any(Number),
    });
    expect(reply.body['access_token']).toBe((await exchange(at(0), acme, ORDERS)).body['access_token']);
  });

  test('with client_id beside it, narrower scopes, and for each its own tenant', async () => {
    expect((await present(assertionOf(rsa, ISSUER), { ...ORDERS, client_id: acme.client_id, scope: 'read:orders' })).body).toMatchObject({
      scope: 'read:orders',
    });
    const theirs = await present(assertionOf(globex, ISSUER), REPORTS);
    expect(decodeJwt(String(theirs.body['access_token']))).toMatchObject({
      iss: ISSUER,
      sub: `${globex.clientId}@clients`,
      'https://postern.dev/tenant': 'globex',
    });
    expect((await present(assertionOf(rsa, ISSUER), { ...ORDERS, scope: 'delete:orders' })).body).toMatchObject({ error: 'invalid_scope' });
    expect((await present(assertionOf(rsa, ISSUER), { audience: APIS.payroll.audience })).body).toMatchObject({ error: 'access_denied' });
  });

  test('at introspection and revocation too', async () => {
    const token = String((await present(assertionOf(globex, ISSUER), REPORTS)).body['access_token']);
    const asked = await post(
      { client_assertion_type: TYPE, client_assertion: assertionOf(globex, ISSUER), token },
      at(1),
      'oauth/introspect',
    );
    expect(asked.body, asked.text).toMatchObject({ active: true });
    const forged = await post(
      { client_assertion_type: TYPE, client_assertion: assertionOf({ ...globex, privateKey: pairs.next.privateKey }, ISSUER), token },
      at(1),
      'oauth/introspect',
    );
    expect(forged.status).toBe(401);
  });

  test('metadata says so', async () => {
    const document = (await (await fetch(`${at(0).issuer}.well-known/oauth-authorization-server`)).json()) as Record<string, unknown>;
    expect(document).toMatchObject({
      token_endpoint_auth_methods_supported: expect.arrayContaining(['private_key_jwt']),
      token_endpoint_auth_signing_alg_values_supported: ['RS256', 'RS384', 'PS256', 'ES256'],
    });
  });
});

describe('a jti is good once', () => {
  test('sixty at once on three replicas: exactly one is taken', async () => {
    for (let round = 0; round < 5; round++) {
      const jwt = assertionOf(round % 2 ? rsa : ec, ISSUER);
      const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => present(jwt, ORDERS, at(i % 3))));
      expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 59 }, () => 401)]);
    }
  });

  test('one after the other, on this replica, another, and one that was started since', async () => {
    const jwt = assertionOf(rsa, ISSUER);
    expect((await present(jwt)).status).toBe(200);
    const fresh = await house.startReplica({ env: { POSTERN_ISSUER: ISSUER } });
    for (const replica of [at(0), at(1), fresh]) expect((await present(jwt, ORDERS, replica)).status).toBe(401);
    await fresh.stop();
  });

  test("under another end, another key, another endpoint; but it is nobody else's", async () => {
    const jti = 'chosen-by-the-client';
    expect((await present(assertionOf(rsa, ISSUER, { jti }))).status).toBe(200);
    expect((await present(assertionOf(rsa, ISSUER, { jti, exp: Math.floor(Date.now() / 1000) + 290 }), ORDERS, at(1))).status).toBe(401);
    expect((await present(assertionOf(ec, ENDPOINT, { jti }), ORDERS, at(2))).status).toBe(401);
    expect(
      (
        await post(
          { client_assertion_type: TYPE, client_assertion: assertionOf(rsa, ISSUER, { jti }), token: 'x' },
          at(1),
          'oauth/introspect',
        )
      ).status,
    ).toBe(401);
    expect((await present(assertionOf(globex, ISSUER, { jti }))).status).toBe(200);
  });

  test('what is written of it names no client, and is thrown away when its hour is long over', async () => {
    const client = new VaultClient({ address: house.vault.address });
    const roleId = String((await house.root.read('auth/approle-broker/role/broker/role-id'))?.data?.['role_id']);
    const made = await house.root.write('auth/approle-broker/role/broker/secret-id');
    registerSecret('broker secret_id', String(made.data?.['secret_id']));
    const session = new VaultSession({
      client,
      login: new OwnAppRole(client, {
        method: 'approle',
        mount: 'approle-broker',
        roleId,
        secretId: { from: String(made.data?.['secret_id']), variable: 'POSTERN_SECRET_ID', wrapped: false },
      }),
    });
    const replay = new VaultReplay({ client, kv: new Kv(client, 'postern-replay'), session });
    const hour = Math.floor(Date.now() / 3_600_000);
    for (const [bucket, key] of [
      [hour - 3, 'a'],
      [hour - 3, 'b'],
      [hour - 2, 'c'],
    ] as const)
      await house.root.write(`postern-replay/data/${bucket}/${key}`, { data: {}, options: { cas: 0 } });
    const thisHour = async (): Promise<string[]> => {
      const shards = (await house.root.list('postern-replay/metadata')).filter((name) => name.startsWith(`${hour}-`));
      return (await Promise.all(shards.map((shard) => house.root.list(`postern-replay/metadata/${shard.slice(0, -1)}`)))).flat();
    };
    const current = (await thisHour()).length;
    expect(current).toBeGreaterThan(0);
    expect((await thisHour()).every((name) => /^[0-9a-f]{64}$/.test(name))).toBe(true);
    const removed = await replay.tidy();
    expect(removed).toBeGreaterThanOrEqual(2);
    expect(await house.root.list(`postern-replay/metadata/${hour - 3}`)).toEqual([]);
    expect((await thisHour()).length).toBeGreaterThanOrEqual(current);
    await session.stop();
    await client.close();
  });
});

describe('refused', () => {
  test('1,000 forged and confused ones: none is taken, none is a 5xx, all look alike', async () => {
    const accessToken = String((await exchange(at(0), acme, REPORTS)).body['access_token']);
    const victims = [rsa, ec, globex, { ...rsa, kid: undefined as never }] as const;
    const all: { fault: string; jwt: string }[] = [];
    for (let round = 0; all.length < 1000; round++) {
      const victim = victims[round % victims.length]!;
      all.push(...forgeries(victim, victim === globex ? rsa : globex, round % 2 ? ENDPOINT : ISSUER, accessToken));
    }
    const wrongs: string[] = [];
    for (let i = 0; i < all.length; i += 50) {
      const replies = await Promise.all(all.slice(i, i + 50).map(({ jwt }, n) => present(jwt, ORDERS, at(n % 3))));
      replies.forEach((reply, n) => {
        const fault = all[i + n]?.fault ?? '';
        if (reply.status !== 401 || reply.text !== '{"error":"access_denied","error_description":"Unauthorized"}')
          wrongs.push(`${fault}: ${reply.status} ${reply.status === 200 ? 'a token' : reply.text.slice(0, 100)}`);
      });
    }
    expect(all.length).toBeGreaterThanOrEqual(1000);
    expect(wrongs).toEqual([]);
    // The same stage takes a good one.
    expect((await present(assertionOf(rsa, ISSUER))).status).toBe(200);
  });

  test('an unknown client and a wrong signature: the same bytes, by either dialect', async () => {
    const stranger = ecPair();
    const book = await house.startReplica({ env: { POSTERN_ISSUER: ISSUER, POSTERN_ERROR_DIALECT: 'rfc6749' } });
    for (const replica of [at(0), book]) {
      const unknown = await present(assertionOf({ clientId: crypto.randomUUID(), ...stranger }, ISSUER), ORDERS, replica);
      const registered = await present(assertionOf({ ...ec, ...stranger }, ISSUER), ORDERS, replica);
      const unregistered = await present(assertionOf({ clientId: house.roleIds['initech'] ?? '', ...stranger }, ISSUER), ORDERS, replica);
      const secret = await exchange(replica, { ...acme, client_secret: crypto.randomUUID() }, ORDERS);
      const shown = ({ status, text, headers }: Reply): unknown => [
        status,
        text,
        Object.entries(headers)
          .filter(([name]) => !['date', 'x-request-id'].includes(name))
          .sort(),
      ];
      for (const other of [registered, unregistered, secret]) expect(shown(other)).toEqual(shown(unknown));
    }
    await book.stop();
  });

  test('a flood of forged ones is held back before Vault, and the right ones come through', async () => {
    const strict = await house.startReplica({
      env: { POSTERN_ISSUER: ISSUER, POSTERN_THROTTLE_ADDRESS: '20', POSTERN_THROTTLE_CLIENT: '5' },
    });
    expect((await present(assertionOf(rsa, ISSUER), ORDERS, strict)).status).toBe(200);
    const stranger = ecPair();
    const before = strict.calls().vault;
    const forged = await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        present(assertionOf({ clientId: i % 2 ? acme.client_id : crypto.randomUUID(), ...stranger }, ISSUER), ORDERS, strict),
      ),
    );
    expect(forged.every(({ status }) => status === 401 || status === 429)).toBe(true);
    expect(forged.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(25);
    expect(strict.calls().vault - before).toBeLessThan(50);
    for (let i = 0; i < 10; i++) expect((await present(assertionOf(rsa, ISSUER), ORDERS, strict)).status).toBe(200);
    await strict.stop();
  });
});

test('postern token plays such a customer, and one that exchanges a Vault token', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-key-'));
  const file = async (name: string, text: string): Promise<string> => {
    registerSecret(name, text.trim());
    await writeFile(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const pemOfPrivate = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const env = { POSTERN_URL: at(0).issuer };
  const play = (...args: string[]) => postern(['token', '--json', '--raw', '--audience', APIS.orders.audience, ...args], { env });
  const byKey = await play(
    '--client-id',
    acme.client_id,
    '--key-file',
    await file('rsa.pem', pemOfPrivate(rsa.privateKey)),
    '--kid',
    'first',
  );
  expect(byKey.stderr).toBe('');
  expect(byKey.json).toMatchObject({ claims: { 'https://postern.dev/tenant': 'acme' }, verified: true });
  const ecFile = await file('ec.pem', pemOfPrivate(ec.privateKey));
  expect((await play('--client-id', acme.client_id, '--key-file', ecFile)).json).toMatchObject({ verified: true });
  const foreign = await play('--client-id', globex.clientId, '--key-file', ecFile);
  expect(foreign).toMatchObject({ code: 3, stdout: '' });
  expect(foreign.stderr).toContain('this key (with this --kid) is not among the assertion_keys');
  expect(
    await play(
      '--client-id',
      acme.client_id,
      '--key-file',
      await file('weak.pem', pemOfPrivate(generateKeyPairSync('ed25519').privateKey)),
    ),
  ).toMatchObject({ code: 2 });
  expect(await play('--client-id', acme.client_id, '--key-file', ecFile, '--secret-file', ecFile)).toMatchObject({ code: 2 });
  expect(await play('--client-id', acme.client_id, '--kid', 'first')).toMatchObject({ code: 2 });

  const { auth } = await house.root.write('auth/approle/login', { role_id: acme.client_id, secret_id: acme.client_secret });
  expect((await play('--vault-token-file', await file('vault-token', `${String(auth?.['client_token'])}\n`))).json).toMatchObject({
    claims: { 'https://postern.dev/tenant': 'acme' },
  });
  expect(await play('--vault-token-file', await file('root-token', house.vault.rootToken))).toMatchObject({ code: 2, stdout: '' });
  await rm(folder, { recursive: true });
});

describe('Vault decides', () => {
  test("an assertion is good from where its tenant's secrets are, and from nowhere else", async () => {
    const from = async (tenant: string): Promise<Reply> =>
      present(assertionOf({ clientId: house.roleIds[tenant] ?? '', ...pairs.bound }, ISSUER), REPORTS);
    expect((await from('here')).status).toBe(200);
    for (const tenant of ['elsewhere', 'walled']) {
      const reply = await from(tenant);
      expect([tenant, reply.status], reply.text).toEqual([tenant, 503]);
      expect(reply.body).not.toHaveProperty('access_token');
    }
    expect((await exchange(at(0), await house.issueSecret('elsewhere'), REPORTS)).status).toBe(401);
  });

  test('the broker alone makes nobody a tenant: with a planted key, Vault refuses', async () => {
    const document = (await house.root.read(`postern/data/assertions/${acme.client_id}`))?.data?.['data'];
    const planted = ecPair();
    const lonely = await house.startReplica({ env: { POSTERN_ISSUER: ISSUER } });
    await house.root.write(`postern/data/assertions/${acme.client_id}`, { data: { tenant: 'acme', keys: [{ pem: pemOf(planted) }] } });
    expect((await present(assertionOf({ ...ec, ...planted, kid: undefined as never }, ISSUER), ORDERS, lonely)).status).toBe(401);
    // Nor does a document make one tenant another.
    await house.root.write(`postern/data/assertions/${globex.clientId}`, { data: { tenant: 'acme', keys: [{ pem: pemOf(globex) }] } });
    expect((await present(assertionOf(globex, ISSUER), ORDERS, lonely)).status).toBe(401);
    await house.root.write(`postern/data/assertions/${acme.client_id}`, { data: document });
    await house.root.write(`postern/data/assertions/${globex.clientId}`, {
      data: { tenant: 'globex', keys: [{ kid: null, pem: pemOf(globex) }] },
    });
    await lonely.stop();
  });

  test('an unusable document is reported to the operator, not to the client', async () => {
    const mine = crypto.randomUUID();
    await house.root.write(`postern/data/assertions/${mine}`, { data: { tenant: 'acme', keys: [{ pem: 'x' }] } });
    const reply = await present(assertionOf({ clientId: mine, ...pairs.next }, ISSUER));
    expect([reply.status, reply.body['error'], reply.body['error_description']]).toEqual([
      503,
      'temporarily_unavailable',
      'Client is not set up',
    ]);
    await house.root.delete(`postern/metadata/assertions/${mine}`);
  });

  test('a key that is exchanged: the old one ends at once, the new one is known within seconds', async () => {
    expect((await present(assertionOf(ec, ISSUER))).status).toBe(200);
    await house.apply({
      tenants: tenants([
        { pem: pemOf(pairs.rsa), kid: 'first' },
        { pem: pemOf(pairs.next), kid: 'third' },
      ]),
    });
    expect((await present(assertionOf(ec, ISSUER))).status).toBe(401);
    expect((await present(assertionOf(rsa, ISSUER))).status).toBe(200);
    const third = { ...ec, ...pairs.next, kid: 'third' };
    await expect.poll(async () => (await present(assertionOf(third, ISSUER))).status, { timeout: 10_000, interval: 500 }).toBe(200);
  });

  test('away, it is a 503, and the assertion is not used up', async () => {
    const jwt = assertionOf(rsa, ISSUER);
    await house.root.write('sys/seal');
    const replies = await Promise.all(Array.from({ length: 10 }, () => present(jwt)));
    const unseal = await fetch(`${house.vault.address}/v1/sys/unseal`, {
      method: 'POST',
      body: JSON.stringify({ key: Buffer.from(house.vault.unsealKey, 'base64').toString('hex') }),
    });
    expect(unseal.status).toBe(200);
    expect(replies.map(({ status }) => status)).toContain(503);
    await expect.poll(async () => (await present(assertionOf(rsa, ISSUER))).status, { timeout: 15_000 }).toBe(200);
    expect((await present(jwt)).status).toBe(200);
    expect((await present(jwt)).status).toBe(401);
  });
});
