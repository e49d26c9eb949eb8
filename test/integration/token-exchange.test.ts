import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT, decodeJwt, exportSPKI, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica, Reply } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

/*
 * RFC 8693 against the real Vault, provisioned by Terraform. Vault's JWT method stands for Kubernetes' too: the one differs
 * from the other in who signs the workload's JWT and who is asked about it (a TokenReview server), not in what Vault gives for it.
 */

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const VAULT_TOKEN = 'urn:postern:params:oauth:token-type:vault-token';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const ORDERS = { audience: APIS.orders.audience };
const REPORTS = { audience: APIS.reports.audience };
const PAYROLL = { audience: APIS.payroll.audience };
const PASSWORD = crypto.randomUUID();

let house: House;
let replica: LocalReplica;
let acme: Credential;
let signingKey: Parameters<SignJWT['sign']>[0];

beforeAll(async () => {
  registerSecret('userpass password', PASSWORD);
  house = await startHouse();
  const keys = await generateKeyPair('ES256');
  signingKey = keys.privateKey;
  await house.root.write('sys/auth/ci', { type: 'jwt' });
  await house.root.write('auth/ci/config', { jwt_validation_pubkeys: [await exportSPKI(keys.publicKey)] });
  for (const type of ['service', 'batch']) {
    await house.root.write(`auth/ci/role/${type}`, {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      token_type: type,
      token_no_default_policy: true,
      token_ttl: 300,
    });
  }
  await house.root.write('sys/auth/people', { type: 'userpass' });
  for (const [user, policies] of [
    ['acme-cron', []],
    ['olivia', ['postern-operator']],
    ['stranger', ['postern-workload', 'postern-tenant']],
  ] as const) {
    await house.root.write(`auth/people/users/${user}`, { password: PASSWORD, token_policies: policies });
  }
  const mounts = (await house.root.read('sys/auth'))?.data as Record<string, { accessor: string }>;
  const accessorOf = (path: string): string => mounts[path]?.accessor ?? '';
  await house.apply({
    tenants: {
      ...TENANTS,
      acme: {
        ...TENANTS.acme,
        workloads: {
          deploy: { accessor: accessorOf('ci/'), alias: 'repo:acme/deploy' },
          test: { accessor: accessorOf('ci/'), alias: 'repo:acme/test' },
          cron: { accessor: accessorOf('people/'), alias: 'acme-cron' },
        },
      },
      globex: { ...TENANTS.globex, workloads: { deploy: { accessor: accessorOf('ci/'), alias: 'repo:globex/deploy' } } },
    },
  });
  replica = await house.startReplica({ env: { POSTERN_THROTTLE_ADDRESS: '100000' } });
  acme = await house.issueSecret('acme');
});
afterAll(() => house?.stop());

function remembered(token: unknown): string {
  registerSecret('Vault token', String(token));
  return String(token);
}

/** Logs in at Vault as who the workload's own platform says that it is. */
async function logInAs(subject: string, role: 'service' | 'batch' = 'service'): Promise<string> {
  const jwt = await new SignJWT()
    .setProtectedHeader({ alg: 'ES256' })
    .setSubject(subject)
    .setAudience('vault')
    .setExpirationTime('2m')
    .sign(signingKey);
  const { auth } = await house.root.write('auth/ci/login', { role, jwt });
  return remembered(auth?.['client_token']);
}

async function logInByPassword(user: string): Promise<string> {
  const { auth } = await house.root.write(`auth/people/login/${user}`, { password: PASSWORD });
  return remembered(auth?.['client_token']);
}

async function logInByAppRole({ client_id: role_id, client_secret: secret_id }: Credential): Promise<string> {
  const { auth } = await house.root.write('auth/approle/login', { role_id, secret_id });
  return remembered(auth?.['client_token']);
}

const ask = (subject: string, parameters: Record<string, string> = {}, at: Pick<LocalReplica, 'issuer'> = replica): Promise<Reply> =>
  post({ grant_type: GRANT, subject_token: subject, subject_token_type: VAULT_TOKEN, ...parameters }, {}, at);

async function post(
  parameters: Record<string, string> | string,
  headers: Record<string, string> = {},
  at: Pick<LocalReplica, 'issuer'> = replica,
): Promise<Reply> {
  const response = await fetch(`${at.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams(parameters),
    headers,
    redirect: 'error',
  });
  const text = await response.text();
  const body = JSON.parse(text) as Record<string, unknown>;
  if (typeof body['access_token'] === 'string') registerSecret('access token', body['access_token']);
  return { status: response.status, headers: Object.fromEntries(response.headers), text, body };
}

/** Most calls to Vault since then that come whether anybody asks or not: five documents are read each second. */
const polled = (start: number): number => 5 * Math.ceil((performance.now() - start) / 1000 + 1);

const outcome = ({ status, body }: Reply): unknown => [status, body['error'] ?? body['scope']];

describe('a tenant gets its token for a Vault token of whichever login', () => {
  test.each<[string, () => Promise<string>]>([
    ['AppRole', () => logInByAppRole(acme)],
    ['JWT, a service token', () => logInAs('repo:acme/deploy')],
    ['JWT, a batch token', () => logInAs('repo:acme/deploy', 'batch')],
    ['JWT, a second workload of one mount', () => logInAs('repo:acme/test')],
    ['userpass', () => logInByPassword('acme-cron')],
  ])('%s', async (_method, logIn) => {
    const subject = await logIn();
    for (const api of [APIS.orders, APIS.reports]) {
      const reply = await ask(subject, { audience: api.audience });
      expect(reply.status, reply.text).toBe(200);
      expect(reply.body).toEqual({
        access_token: expect.any(String),
        scope: api.scopes.join(' '),
        token_type: 'Bearer',
        expires_in: expect.any(Number),
        issued_token_type: ACCESS_TOKEN,
      });
      expect(reply.headers['cache-control']).toBe('no-store');
      // The very token of the other door: one tenant, one client_id, one cache, one Auth0 call.
      const bySecret = await exchange(replica, acme, { audience: api.audience });
      expect(reply.body['access_token']).toBe(bySecret.body['access_token']);
      expect(decodeJwt(String(reply.body['access_token']))).toMatchObject({ 'https://postern.dev/tenant': 'acme' });
    }
    expect(decodeJwt(String((await ask(subject, REPORTS)).body['access_token'])).sub).toBe(`${house.roleIds['acme']}@clients`);
  });

  test('globex gets its own, at the same moment', async () => {
    const [a, g] = await Promise.all([logInAs('repo:acme/deploy'), logInAs('repo:globex/deploy')]);
    const replies = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i % 2 ? a : g, i % 4 < 2 ? ORDERS : REPORTS)));
    replies.forEach(({ body }, i) =>
      expect(decodeJwt(String(body['access_token']))).toMatchObject({ 'https://postern.dev/tenant': i % 2 ? 'acme' : 'globex' }),
    );
  });

  test('narrower scopes, by audience or resource, under either name of the type; never wider', async () => {
    const subject = await logInAs('repo:acme/deploy');
    expect((await ask(subject, { ...ORDERS, scope: 'read:orders', requested_token_type: JWT })).body).toMatchObject({
      scope: 'read:orders',
      issued_token_type: JWT,
    });
    expect((await ask(subject, { resource: ORDERS.audience, requested_token_type: ACCESS_TOKEN })).body).toMatchObject({
      scope: 'read:orders write:orders',
      issued_token_type: ACCESS_TOKEN,
    });
    expect((await ask(subject, { resource: ORDERS.audience, audience: ORDERS.audience })).status).toBe(200);
    expect(outcome(await ask(subject, { ...ORDERS, scope: 'read:orders delete:orders' }))).toEqual([400, 'invalid_scope']);
    expect(outcome(await ask(await logInAs('repo:globex/deploy'), { ...ORDERS, scope: 'write:orders' }))).toEqual([400, 'invalid_scope']);
  });

  test('as JSON too', async () => {
    const response = await fetch(`${replica.issuer}oauth/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        grant_type: GRANT,
        subject_token: await logInAs('repo:acme/deploy'),
        subject_token_type: VAULT_TOKEN,
        ...ORDERS,
      }),
    });
    const body = (await response.json()) as Record<string, unknown>;
    registerSecret('access token', String(body['access_token']));
    expect([response.status, body['issued_token_type']]).toEqual([200, ACCESS_TOKEN]);
  });

  test('each exchange asks Vault with the token itself, and the token cache spares the source', async () => {
    const subject = await logInAs('repo:acme/deploy');
    await ask(subject, ORDERS);
    const start = performance.now();
    const before = replica.calls();
    for (let i = 0; i < 5; i++) expect((await ask(subject, ORDERS)).status).toBe(200);
    const { vault, auth0 } = replica.calls();
    expect(auth0 - before.auth0).toBe(0);
    // lookup-self, its entity, its tenant's document: 15, and the five documents that are read each second.
    expect(vault - before.vault).toBeGreaterThanOrEqual(15);
    expect(vault - before.vault).toBeLessThanOrEqual(15 + polled(start));
  });

  test('the audit names tenant and client, and no token', async () => {
    const subject = await logInAs('repo:acme/deploy');
    await ask(subject, ORDERS);
    const event = (await replica.events()).at(-1);
    expect(event).toMatchObject({ outcome: 'granted', door: 'exchange', tenant: 'acme', client_id: house.roleIds['acme'], api: 'orders' });
    expect(JSON.stringify(event)).not.toContain(subject);
  });
});

describe('refused before Vault is asked', () => {
  test.each<[string, Record<string, string>, string]>([
    ['no subject_token', { subject_token: '' }, 'invalid_request'],
    ['no subject_token_type', { subject_token_type: '' }, 'invalid_request'],
    ['the type of an access token', { subject_token_type: ACCESS_TOKEN }, 'invalid_request'],
    ['the type of an ID token', { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }, 'invalid_request'],
    ['an actor', { actor_token: 'x', actor_token_type: VAULT_TOKEN }, 'invalid_request'],
    ["an actor's type alone", { actor_token_type: VAULT_TOKEN }, 'invalid_request'],
    ['a refresh token wanted', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'invalid_request'],
    ['a Vault token wanted', { requested_token_type: VAULT_TOKEN }, 'invalid_request'],
    ['a secret beside it', { client_id: 'a', client_secret: 'b' }, 'invalid_request'],
    ['an assertion beside it', { client_assertion: 'a' }, 'invalid_request'],
    ['a resource that is not a URI', { resource: 'orders' }, 'invalid_target'],
    ['a resource with a fragment', { resource: 'https://orders.example.com#a' }, 'invalid_target'],
    ['two targets', { resource: 'https://orders.example.com', audience: 'https://reports.example.com' }, 'invalid_target'],
    ['a token with a space', { subject_token: 'hvs.a b' }, 'invalid_request'],
    ['a token with a line feed', { subject_token: 'hvs.a\nX-Vault-Namespace: x' }, 'invalid_request'],
    ['a token of other letters', { subject_token: 'hvs.ä' }, 'invalid_request'],
    ['8 KiB and more', { subject_token: 'a'.repeat(8193) }, 'invalid_request'],
  ])('%s', async (_fault, parameters, error) => {
    const before = replica.calls().auth0;
    const reply = await ask('hvs.whatever', parameters);
    expect(outcome(reply)).toEqual([400, error]);
    expect(replica.calls().auth0).toBe(before);
  });

  test('a header of client authentication, a query, a repeated parameter', async () => {
    const subject = await logInAs('repo:acme/deploy');
    const good = { grant_type: GRANT, subject_token: subject, subject_token_type: VAULT_TOKEN, ...ORDERS };
    expect(outcome(await post(good, { Authorization: `Basic ${Buffer.from('a:b').toString('base64')}` }))).toEqual([
      400,
      'invalid_request',
    ]);
    const twice = await fetch(`${replica.issuer}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams([...Object.entries(good), ['subject_token', subject]]),
    });
    expect([twice.status, ((await twice.json()) as { error: string }).error]).toEqual([400, 'invalid_request']);
    const query = await fetch(`${replica.issuer}oauth/token?subject_token=hvs.in-the-uri`, {
      method: 'POST',
      body: new URLSearchParams(good),
    });
    expect([query.status, ((await query.json()) as { error: string }).error]).toEqual([400, 'invalid_request']);
  });
});

describe('refused by what Vault says', () => {
  test.each<[string, Record<string, string>, string]>([
    ['an unknown target', { audience: 'https://nowhere.example.com' }, 'invalid_target'],
    ["a neighbour's API", PAYROLL, 'invalid_target'],
    ["a neighbour's API as a resource", { resource: PAYROLL.audience }, 'invalid_target'],
    ['no target', {}, 'invalid_target'],
    ["another's organization", { ...ORDERS, organization: 'org_globex' }, 'invalid_target'],
  ])('%s', async (_fault, parameters, error) => {
    expect(outcome(await ask(await logInAs('repo:acme/deploy'), parameters))).toEqual([400, error]);
  });

  test("client_id decides nothing: a neighbour's is refused, its own is taken", async () => {
    const subject = await logInAs('repo:acme/deploy');
    expect(outcome(await ask(subject, { ...ORDERS, client_id: house.roleIds['globex'] ?? '' }))).toEqual([400, 'invalid_request']);
    expect((await ask(subject, { ...ORDERS, client_id: house.roleIds['acme'] ?? '' })).status).toBe(200);
  });

  test('a revoked token, at once and on every replica', async () => {
    const other = await house.startReplica({ env: { POSTERN_THROTTLE_ADDRESS: '100000' } });
    const subject = await logInAs('repo:acme/deploy');
    for (const at of [replica, other]) expect((await ask(subject, ORDERS, at)).status).toBe(200);
    await house.root.write('auth/token/revoke', { token: subject });
    for (const at of [replica, other]) expect(outcome(await ask(subject, ORDERS, at))).toEqual([400, 'invalid_request']);
    await other.stop();
  });

  test('an expired token', async () => {
    await house.root.write('auth/ci/role/short', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      token_type: 'batch',
      token_no_default_policy: true,
      token_ttl: 2,
    });
    const subject = await logInAs('repo:acme/deploy', 'short' as 'batch');
    expect((await ask(subject, ORDERS)).status).toBe(200);
    await sleep(3000);
    expect(outcome(await ask(subject, ORDERS))).toEqual([400, 'invalid_request']);
  });

  test.each<[string, () => Promise<string>]>([
    ['root', async () => house.vault.rootToken],
    ["an operator's", () => logInByPassword('olivia')],
    ["a stranger's with both policies and no tenant", () => logInByPassword('stranger')],
    [
      'one made by hand with both policies',
      async () =>
        remembered(
          (await house.root.write('auth/token/create', { policies: ['postern-tenant', 'postern-workload'], ttl: '1h' })).auth?.[
            'client_token'
          ],
        ),
    ],
    ['one of another AppRole mount, whose role is called as a tenant', () => logInElsewhere()],
    ["the broker's own", () => logInAsBroker()],
    [
      'one with a number of uses',
      async () =>
        remembered(
          (await house.root.write('auth/token/create', { policies: ['postern-workload'], ttl: '1h', num_uses: 9 })).auth?.['client_token'],
        ),
    ],
  ])('a living token that belongs to no tenant: %s', async (_whose, make) => {
    const subject = await make();
    const reply = await ask(subject, ORDERS);
    expect(outcome(reply)).toEqual([400, 'invalid_request']);
    expect(reply.text).not.toContain(subject);
    // The same without saying what is wanted, and for what anybody may have.
    expect((await ask(subject)).status).toBe(400);
  });

  test("a child of a workload's token is the workload's, and ends with it", async () => {
    await house.root.write('sys/policies/acl/may-have-children', { policy: 'path "auth/token/create" { capabilities = ["update"] }' });
    await house.root.write('auth/ci/role/parent', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      token_policies: ['may-have-children'],
      token_ttl: 300,
    });
    const parent = await logInAs('repo:acme/deploy', 'parent' as 'service');
    const made = await fetch(`${house.vault.address}/v1/auth/token/create`, {
      method: 'POST',
      headers: { 'X-Vault-Token': parent },
      body: JSON.stringify({ meta: { role_name: 'globex', postern_tenant: 'globex' } }),
    });
    const child = remembered(((await made.json()) as { auth: { client_token: string } }).auth.client_token);
    const reply = await ask(child, ORDERS);
    expect(decodeJwt(String(reply.body['access_token']))).toMatchObject({ 'https://postern.dev/tenant': 'acme' });
    await house.root.write('auth/token/revoke', { token: parent });
    expect(outcome(await ask(child, ORDERS))).toEqual([400, 'invalid_request']);
  });

  test('an entity that is two tenants at once is refused', async () => {
    const subject = await logInByAppRole(await house.issueSecret('globex'));
    expect((await ask(subject, ORDERS)).status).toBe(200);
    const entity = (await house.root.write('auth/token/lookup', { token: subject })).data?.['entity_id'];
    await house.root.write(`identity/entity/id/${String(entity)}`, {
      metadata: { postern_tenant: 'acme', postern_client_id: house.roleIds['acme'] },
    });
    expect(outcome(await ask(subject, ORDERS))).toEqual([400, 'invalid_request']);
    await house.root.write(`identity/entity/id/${String(entity)}`, { metadata: {} });
    await house.root.delete(`identity/entity/id/${String(entity)}`);
  });

  test('an entity that is switched off, and on again', async () => {
    const subject = await logInAs('repo:acme/test');
    const entity = String((await house.root.write('auth/token/lookup', { token: subject })).data?.['entity_id']);
    await house.root.write(`identity/entity/id/${entity}`, { disabled: true });
    expect(outcome(await ask(subject, ORDERS))).toEqual([400, 'invalid_request']);
    await house.root.write(`identity/entity/id/${entity}`, { disabled: false });
    expect((await ask(subject, ORDERS)).status).toBe(200);
  });

  test('what is not a token at all: never a 5xx', async () => {
    const shapes = [
      'x',
      '..',
      '../sys',
      'hvs.',
      'hvs.abc',
      'hvs.abc.def',
      'hvs.abc.root',
      's.abc',
      's.abc.def',
      'b.AAAA',
      'b.AAAA.def',
      'hvb.AAAAAQJ',
      'hvb.AAAA.def',
      'hvr.abc',
      'hvr.abc.def',
      'r.abc',
      'a.b.c.d',
      `hvb.${'A'.repeat(5000)}`,
      'hvb.%00',
      'hvb.====',
      'hvp.xxxx',
      'hvs.../../sys',
      'eyJhbGciOiJSUzI1NiJ9.e30.AAAA',
      'eyJhbGciOiJub25lIn0.e30.',
      '"',
      '%00',
      'null',
      '{}',
      'Bearer x',
      'hvs.CAESIA',
      `hvs.CAES${'A'.repeat(90)}`,
    ];
    for (const shape of shapes)
      expect([shape, ...(outcome(await ask(shape, ORDERS)) as unknown[])]).toEqual([shape, 400, 'invalid_request']);
  });

  test('a flood of bad tokens is held back: few reach Vault', async () => {
    const strict = await house.startReplica({ env: { POSTERN_THROTTLE_ADDRESS: '10' } });
    const start = performance.now();
    const before = strict.calls().vault;
    const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(`hvs.guess-${i}`, ORDERS, strict)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([400, 429]));
    expect(replies.filter(({ status }) => status === 400).length).toBeLessThanOrEqual(12);
    expect(strict.calls().vault - before).toBeLessThan(20 + polled(start));
    await strict.stop();
  });

  test('a disabled tenant', async () => {
    const subject = await logInAs('repo:acme/deploy');
    await house.root.write('postern/data/state/epoch', { data: { epoch: 1, disabled: ['acme'], recent: [{ epoch: 1, tenant: 'acme' }] } });
    await expect.poll(async () => outcome(await ask(subject, ORDERS)), { timeout: 10_000 }).toEqual([403, 'unauthorized_client']);
    await house.root.write('postern/data/state/epoch', { data: { epoch: 2, disabled: [], recent: [{ epoch: 2, tenant: 'acme' }] } });
    await expect.poll(async () => (await ask(subject, ORDERS)).status, { timeout: 10_000 }).toBe(200);
  });
});

test("nothing of the subject token is left in the heap of the broker, nor in Vault's documents", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-heap-'));
  const broker = await house.startReplicaProcess({ env: { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}` } });
  const subject = await logInAs('repo:acme/deploy');
  const dead = 'hvs.never-was-a-token-of-this-vault';
  for (let i = 0; i < 20; i++) expect((await ask(subject, i % 2 ? ORDERS : REPORTS, broker)).status).toBe(200);
  expect((await ask(dead, ORDERS, broker)).status).toBe(400);
  expect((await ask(subject, PAYROLL, broker)).status).toBe(400);
  process.kill(broker.child.pid, 'SIGUSR2');
  const snapshot = async (): Promise<string> => {
    const [name] = (await readdir(folder)).filter((file) => file.endsWith('.heapsnapshot'));
    const text = name === undefined ? '' : await readFile(join(folder, name), 'utf8');
    return text.trimEnd().endsWith('}') ? text : '';
  };
  await expect.poll(async () => (await snapshot()) !== '', { timeout: 30_000, interval: 250 }).toBe(true);
  const heap = await snapshot();
  // It shows what the broker does keep.
  expect(heap.includes(broker.issuer)).toBe(true);
  expect([heap.includes(subject), heap.includes(dead)]).toEqual([false, false]);
  await broker.stop();
  await rm(folder, { recursive: true });
  const stored = await documentsOf('postern');
  expect(stored.length).toBeGreaterThan(5);
  for (const text of [...stored, ...(await documentsOf('postern-tokens'))]) expect(text.includes(subject)).toBe(false);
});

test('a sealed Vault is a 503, never a word about the token', async () => {
  const subject = await logInAs('repo:acme/deploy');
  expect((await ask(subject, ORDERS)).status).toBe(200);
  await house.root.write('sys/seal');
  const sealed = await Promise.all(Array.from({ length: 20 }, () => ask(subject, ORDERS)));
  for (const reply of sealed) {
    expect(outcome(reply)).toEqual([503, 'temporarily_unavailable']);
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
  }
  await fetch(`${house.vault.address}/v1/sys/unseal`, {
    method: 'POST',
    body: JSON.stringify({ key: Buffer.from(house.vault.unsealKey, 'base64').toString('hex') }),
  });
  await expect.poll(async () => (await ask(subject, ORDERS)).status, { timeout: 15_000 }).toBe(200);
});

/** The text of every document of a KV mount. */
async function documentsOf(mount: string, folder = ''): Promise<string[]> {
  const names = await house.root.list(`${mount}/metadata${folder === '' ? '' : `/${folder}`}`);
  const texts = await Promise.all(
    names.map(async (name) => {
      const path = folder === '' ? name : `${folder}/${name}`;
      return name.endsWith('/') ? documentsOf(mount, path.slice(0, -1)) : [JSON.stringify(await house.root.read(`${mount}/data/${path}`))];
    }),
  );
  return texts.flat();
}

/** A role called `acme` on a mount that is not the tenants'. */
async function logInElsewhere(): Promise<string> {
  await house.root.write('sys/auth/elsewhere', { type: 'approle' });
  await house.root.write('auth/elsewhere/role/acme', { token_policies: ['postern-tenant', 'postern-workload'], token_type: 'batch' });
  return loginAt('elsewhere', 'acme');
}

function logInAsBroker(): Promise<string> {
  return loginAt('approle-broker', 'broker');
}

async function loginAt(mount: string, role: string): Promise<string> {
  const id = await house.root.read(`auth/${mount}/role/${role}/role-id`);
  const secret = await house.root.write(`auth/${mount}/role/${role}/secret-id`);
  registerSecret('secret_id', String(secret.data?.['secret_id']));
  const { auth } = await house.root.write(`auth/${mount}/login`, { role_id: id?.data?.['role_id'], secret_id: secret.data?.['secret_id'] });
  return remembered(auth?.['client_token']);
}
