import { describe, expect, test } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { KEY_ID, apiKeyOf, newKeyId } from '#broker/vault/key-metadata.ts';
import { Kv } from '#broker/vault/kv.ts';
import { AppRoleLogin } from '#broker/vault/approle-login.ts';
import { KeyEnds } from '#broker/vault/key-ends.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { credentialOf } from '#test/unit/credential/credential.ts';
import { Loopback } from './loopback.ts';
import { NO_ENDS } from './ends.ts';

const OLD = 'key_000000000000000000000001';
const NEW = 'key_000000000000000000000002';

describe('metadata of a login', () => {
  test('of a plain secret_id says nothing', () => {
    expect(apiKeyOf({ role_name: 'acme', name: 'nightly' }, 'acme')).toEqual({ keyId: undefined });
  });

  test('names the key, and what it is narrowed to', () => {
    expect(apiKeyOf({ key_id: OLD }, 'acme')).toEqual({ keyId: OLD });
    expect(apiKeyOf({ key_id: OLD, scopes: 'read:orders write:orders' }, 'acme')).toEqual({
      keyId: OLD,
      limit: { scopes: ['read:orders', 'write:orders'] },
    });
    expect(apiKeyOf({ key_id: OLD, limits: '600/min,5/s' }, 'acme')).toEqual({
      keyId: OLD,
      limits: { per_minute: 600, per_second: 5 },
    });
    // A limit without a name is a limit all the same.
    expect(apiKeyOf({ scopes: 'read:orders' }, 'acme')).toEqual({ keyId: undefined, limit: { scopes: ['read:orders'] } });
  });

  test.each<[string, Record<string, unknown>]>([
    ['no scopes', { scopes: '' }],
    ['a space', { scopes: ' ' }],
    ['two spaces', { scopes: 'a  b' }],
    ['a space at the end', { scopes: 'a ' }],
    ['a tab', { scopes: 'a\tb' }],
    ['a quote', { scopes: 'a"' }],
    ['null', { scopes: null }],
    ['a list', { scopes: ['a'] }],
    ['an object', { scopes: {} }],
    ['limits that are none', { key_id: OLD, limits: '600' }],
    ['limits that are empty', { key_id: OLD, limits: '' }],
    ['limits of nobody', { limits: '600/min' }],
    ['an empty id', { key_id: '' }],
    ['an id in capitals', { key_id: OLD.toUpperCase() }],
    ['an id that is a path', { key_id: '../x' }],
    ['an id that is null', { key_id: null }],
    ['an id with a line end', { key_id: `${OLD}\n` }],
  ])('fails closed: %s', (_what, metadata) => {
    expect(() => apiKeyOf(metadata, 'acme')).toThrowError(
      expect.objectContaining({ code: 'misconfigured', message: 'Client is not set up' }),
    );
  });

  test('a new id has the form that is asked for', () => {
    expect(newKeyId()).toMatch(KEY_ID);
    expect(newKeyId()).not.toBe(newKeyId());
  });
});

/** A Vault that knows one secret_id with this metadata, and `keys/acme`. */
async function stage(metadata: Record<string, string>, document: [number, unknown], options: { forwardAddress?: boolean } = {}) {
  const server = await Loopback.start(({ url }) =>
    url.endsWith('/login')
      ? [
          200,
          { auth: { client_token: 'hvb.canary', token_type: 'batch', lease_duration: 300, metadata: { role_name: 'acme', ...metadata } } },
        ]
      : document,
  );
  const clock = new Clock();
  const client = new VaultClient({ address: server.origin, timeoutMs: 10_000 });
  const login = new AppRoleLogin({
    client,
    mount: 'approle',
    forwardAddress: options.forwardAddress ?? false,
    ends: { ...NO_ENDS, rotations: new KeyEnds(new Kv(client, 'postern')) },
    now: clock.now,
  });
  return {
    server,
    clock,
    login: () => login.login(credentialOf('acme-role-id', 'canary-secret-id'), '192.0.2.7'),
    async [Symbol.asyncDispose]() {
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const now = new Clock().ms / 1000;
const ending = (until: number | null, keyId = OLD): [number, unknown] => [
  200,
  { data: { data: { rotations: [{ key_id: keyId, accessor: 'a', new_key_id: NEW, until }] }, metadata: { version: 1 } } },
];

describe('the end that a rotation set', () => {
  test('is not looked for with a plain secret_id', async () => {
    await using s = await stage({}, [500, {}]);
    expect((await s.login()).keyId).toBeUndefined();
    expect(s.server.received).toHaveLength(1);
  });

  test('is read as the tenant, from the address that Vault was told', async () => {
    await using s = await stage({ key_id: OLD }, ending(now + 60), { forwardAddress: true });
    expect(await s.login()).toMatchObject({ keyId: OLD, expiresAt: (now + 60) * 1000 });
    expect(s.server.received[1]).toMatchObject({
      method: 'GET',
      url: '/v1/postern/data/keys/acme',
      headers: { 'x-vault-token': 'hvb.canary', 'x-forwarded-for': '192.0.2.7' },
    });
  });

  test.each<[string, [number, unknown], number]>([
    ['there is no rotation', [404, { errors: [] }], now + 295],
    ['the document is deleted', [404, { data: { data: null, metadata: { version: 3 } } }], now + 295],
    ['another key ends', ending(now - 60, NEW), now + 295],
    ['the new key was not shown yet', ending(null), now + 295],
    ['it ends after the token', ending(now + 9999), now + 295],
    ['it ends before the token', ending(now + 1), now + 1],
  ])('%s', async (_what, document, end) => {
    await using s = await stage({ key_id: OLD }, document);
    expect((await s.login()).expiresAt).toBe(end * 1000);
  });

  test('that has come is a wrong credential, though Vault still takes it', async () => {
    for (const until of [now, now - 1, now - 99_999]) {
      await using s = await stage({ key_id: OLD }, ending(until));
      await expect(s.login()).rejects.toMatchObject({ code: 'invalid_client', message: 'Unauthorized' });
    }
  });

  test.each<[string, [number, unknown], string]>([
    ['denied', [403, { errors: ['permission denied'] }], 'temporarily_unavailable'],
    ['sealed', [503, { errors: ['Vault is sealed'] }], 'temporarily_unavailable'],
    ['malformed', [200, { data: { data: { rotations: [{ key_id: OLD }] }, metadata: { version: 1 } } }], 'misconfigured'],
    [
      'with a time in words',
      [200, { data: { data: { rotations: [{ key_id: OLD, accessor: 'a', new_key_id: NEW, until: 'soon' }] }, metadata: { version: 1 } } }],
      'misconfigured',
    ],
  ])('that cannot be read serves nobody: %s', async (_what, document, code) => {
    await using s = await stage({ key_id: OLD }, document);
    await expect(s.login()).rejects.toMatchObject({ code });
  });
});
