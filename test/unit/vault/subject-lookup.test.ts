import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { SubjectToken } from '#broker/credential/subject-token.ts';
import { PosternError } from '#broker/error.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultSubjects } from '#broker/vault/subject-lookup.ts';
import { NO_ENDS } from './ends.ts';
import { Loopback, closedPort } from './loopback.ts';

const TOKEN = 'hvs.canary-subject-token';
const SUBJECT = SubjectToken.of(TOKEN) ?? expect.unreachable();

const approleToken = { entity_id: 'e-1', path: 'auth/approle/login', meta: { role_name: 'acme' }, num_uses: 0, ttl: 300, id: TOKEN };
const approleEntity = { metadata: null, aliases: [{ name: 'acme-role-id', mount_path: 'auth/approle/', metadata: { role_name: 'acme' } }] };
const jwtToken = { ...approleToken, path: 'auth/kubernetes/login', meta: { role: 'deploy' } };
const jwtEntity = {
  metadata: { postern_tenant: 'acme', postern_client_id: 'acme-role-id' },
  aliases: [{ name: 'uid', mount_path: 'auth/kubernetes/', metadata: null }],
};

interface Vault {
  /** ms by which our clock is behind Vault's. */
  behind?: number;
  self?: unknown;
  entity?: unknown;
  /** Answers in place of Vault's to paths that end so. */
  fault?: Record<string, [number, unknown]>;
  namespace?: string;
  address?: string;
  forwardAddress?: boolean;
}

async function lookUp(vault: Vault): Promise<{ outcome: unknown; received: Loopback['received'] }> {
  await using server = await Loopback.start(({ url }) => {
    const fault = Object.entries(vault.fault ?? {}).find(([end]) => url.endsWith(end))?.[1];
    return fault ?? [200, { data: url.endsWith('lookup-self') ? (vault.self ?? jwtToken) : (vault.entity ?? jwtEntity) }];
  });
  const client = new VaultClient({
    address: vault.address ?? server.origin,
    timeoutMs: 10_000,
    ...(vault.namespace ? { namespace: vault.namespace } : {}),
  });
  const subjects = new VaultSubjects({
    client,
    approle: 'approle',
    namespace: vault.namespace,
    forwardAddress: vault.forwardAddress ?? false,
    ends: NO_ENDS,
    now: () => 1_000_000,
    behind: () => vault.behind ?? 0,
  });
  const outcome = await subjects.lookUp(SUBJECT, '192.0.2.7').catch((error: unknown) => error);
  await client.close();
  if (outcome instanceof Error) expect(inspect(outcome, { showHidden: true, depth: 9 })).not.toContain('canary');
  return { outcome, received: server.received };
}

describe('what has ended by now', () => {
  const key = { key_id: `key_${'a'.repeat(24)}` };
  test('an API key whose end is noted in its metadata: its Vault token lives on, and gets nothing', async () => {
    const self = { ...approleToken, meta: { role_name: 'acme', expires_at: '999', ...key } };
    expect((await lookUp({ self, entity: approleEntity })).outcome).toMatchObject({ code: 'invalid_request' });
    const alive = { ...self, meta: { ...self.meta, expires_at: '1001' } };
    expect((await lookUp({ self: alive, entity: approleEntity })).outcome).toMatchObject({ keyId: key.key_id, expiresAt: 1_001_000 });
    // By Vault's clock, where this machine's is behind.
    expect((await lookUp({ self: alive, entity: approleEntity, behind: 1_000 })).outcome).toMatchObject({ code: 'invalid_request' });
  });

  test('a batch token that was made for more than an hour is refused: nobody can revoke it', async () => {
    const self = { ...approleToken, type: 'batch', ttl: 30, creation_ttl: 3601, creation_time: 500 };
    expect((await lookUp({ self, entity: approleEntity })).outcome).toMatchObject({ code: 'invalid_request' });
    const hour = { ...self, creation_ttl: 3600 };
    expect((await lookUp({ self: hour, entity: approleEntity })).outcome).toMatchObject({ tenant: 'acme', createdAt: 500 });
    expect((await lookUp({ self: { ...self, type: 'service' }, entity: approleEntity })).outcome).toMatchObject({ tenant: 'acme' });
  });
});

describe('whose it is', () => {
  test.each<[string, Vault]>([
    ['an AppRole token: by the role it logged in with', { self: approleToken, entity: approleEntity }],
    ['any other: by what Terraform wrote into its entity', {}],
    ['a service token without end', { self: { ...jwtToken, ttl: 0 } }],
    [
      'one that another token made: by its entity',
      { self: { ...jwtToken, path: 'auth/token/create', meta: { role_name: 'globex', postern_tenant: 'globex' } } },
    ],
    [
      'one of an entity that has the AppRole alias too: both say the same',
      { entity: { ...jwtEntity, aliases: [...jwtEntity.aliases, ...approleEntity.aliases] } },
    ],
    ["one of the broker's own namespace", { namespace: 'admin/team', self: { ...jwtToken, namespace_path: 'admin/team/' } }],
  ])('%s', async (_what, vault) => {
    const { outcome, received } = await lookUp(vault);
    expect(outcome).toMatchObject({ tenant: 'acme', clientId: 'acme-role-id', lent: true, forwardedFor: undefined });
    expect(received.map(({ method, url, headers }) => [method, url, headers['x-vault-token']])).toEqual([
      ['GET', '/v1/auth/token/lookup-self', TOKEN],
      ['GET', '/v1/identity/entity/id/e-1', TOKEN],
    ]);
    expect(inspect(outcome, { showHidden: true, depth: 9 })).not.toContain('canary');
  });

  test("the client's address goes along where it is to", async () => {
    const { outcome, received } = await lookUp({ forwardAddress: true });
    expect(outcome).toMatchObject({ forwardedFor: '192.0.2.7' });
    expect(received.map(({ headers }) => headers['x-forwarded-for'])).toEqual(['192.0.2.7', '192.0.2.7']);
  });
});

describe("no tenant's", () => {
  test.each<[string, Vault]>([
    ['dead', { fault: { 'lookup-self': [403, { errors: ['2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'] }] } }],
    [
      'of a namespace that there is not',
      {
        fault: {
          'lookup-self': [500, { errors: ['error performing token check: failed to look up namespace from the token: no namespace'] }],
        },
      },
    ],
    ['without an entity, as root', { self: { ...jwtToken, entity_id: '', path: 'auth/token/create', meta: null } }],
    ['of another namespace', { self: { ...jwtToken, namespace_path: 'elsewhere/' } }],
    ['of the root namespace, at a broker of another', { namespace: 'admin', self: jwtToken }],
    ['with a number of uses', { self: { ...jwtToken, num_uses: 1 } }],
    ['that may not read its entity', { fault: { 'e-1': [403, { errors: ['permission denied'] }] } }],
    ['whose entity is gone', { fault: { 'e-1': [404, { errors: [] }] } }],
    ['whose entity has no metadata', { entity: { ...jwtEntity, metadata: null } }],
    ['whose entity names no client', { entity: { ...jwtEntity, metadata: { postern_tenant: 'acme' } } }],
    [
      'whose entity names no possible tenant',
      { entity: { ...jwtEntity, metadata: { postern_tenant: '../acme', postern_client_id: 'x' } } },
    ],
    ['whose entity names no possible client', { entity: { ...jwtEntity, metadata: { postern_tenant: 'acme', postern_client_id: 'a b' } } }],
    [
      'whose entity is two tenants, by AppRole',
      { self: approleToken, entity: { ...approleEntity, metadata: { postern_tenant: 'globex', postern_client_id: 'x' } } },
    ],
    [
      'whose entity is two tenants, by another way',
      { entity: { metadata: { postern_tenant: 'globex', postern_client_id: 'x' }, aliases: approleEntity.aliases } },
    ],
    [
      'of a role with that name on another AppRole mount',
      {
        self: { ...approleToken, path: 'auth/approle2/login' },
        entity: { metadata: null, aliases: [{ name: 'x', mount_path: 'auth/approle2/', metadata: { role_name: 'acme' } }] },
      },
    ],
    [
      'that claims in its own metadata',
      {
        self: { ...jwtToken, meta: { role_name: 'acme', postern_tenant: 'acme' } },
        entity: { metadata: null, aliases: jwtEntity.aliases },
      },
    ],
  ])('one %s', async (_what, vault) => {
    const { outcome } = await lookUp(vault);
    expect(outcome).toBeInstanceOf(PosternError);
    expect(outcome).toMatchObject({ code: 'invalid_request', status: 400 });
  });
});

describe('Vault away says nothing of the token', () => {
  test.each<[string, Vault]>([
    ...(['lookup-self', 'e-1'] as const).flatMap((end): [string, Vault][] => [
      [`sealed at ${end}`, { fault: { [end]: [503, { errors: ['Vault is sealed'] }] } }],
      [
        `500 at ${end}`,
        { fault: { [end]: [500, { errors: ['1 error occurred:\n\t* no audit backend succeeded in logging the request'] }] } },
      ],
      [`throttled at ${end}`, { fault: { [end]: [429, { errors: ['request path "auth/token": rate limit quota exceeded'] }] } }],
      [`a proxy's 400 at ${end}`, { fault: { [end]: [400, 'Bad Request'] } }],
      [`redirected at ${end}`, { fault: { [end]: [307, {}] } }],
    ]),
    ['a form that is not known', { self: { entity_id: 7 } }],
    ['nothing in the answer', { fault: { 'lookup-self': [200, {}] } }],
    ['an entity of a form that is not known', { entity: { aliases: 'x' } }],
  ])('%s', async (_what, vault) => {
    expect((await lookUp(vault)).outcome).toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('nobody at that address', async () => {
    expect((await lookUp({ address: `http://127.0.0.1:${await closedPort()}` })).outcome).toMatchObject({
      code: 'temporarily_unavailable',
    });
  });
});

test.each([
  'error performing token check: failed to look up namespace from the token: no namespace',
  'error performing token check: illegal base64 data at input byte 0',
])('a 500 about how the token is made is Vault’s judgement of it: %s', async (said) => {
  const { outcome, received } = await lookUp({ fault: { 'lookup-self': [500, { errors: [said] }] } });
  expect(outcome).toMatchObject({ code: 'invalid_request' });
  expect(received).toHaveLength(1);
});

test('a stranger’s tokens open no breaker, whatever Vault answers to them, and each costs it one request', async () => {
  await using server = await Loopback.start(() => [500, { errors: ['1 error occurred: internal error'] }]);
  const changes: boolean[] = [];
  const client = new VaultClient({ address: server.origin, onBreak: (open) => changes.push(open) });
  const options = { client, approle: 'approle', namespace: undefined, forwardAddress: false, ends: NO_ENDS };
  const subjects = new VaultSubjects(options);
  for (let times = 0; times < 20; times++)
    await expect(subjects.lookUp(SUBJECT, '192.0.2.7')).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  expect([client.away, changes, server.received.length]).toEqual([false, [], 20]);
  for (let times = 0; times < 8; times++) await client.write('kv/x', {}).catch(() => undefined);
  expect(client.away).toBe(true);
  // Others' calls have opened it: then nobody is kept waiting.
  const asked = server.received.length;
  await expect(subjects.lookUp(SUBJECT, '192.0.2.7')).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  expect(server.received).toHaveLength(asked);
  await client.close();
});
