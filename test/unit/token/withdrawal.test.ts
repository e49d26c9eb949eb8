import { describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { PosternError } from '#broker/error.ts';
import type { IssuedToken } from '#broker/token/issued-tokens.ts';
import { Token } from '#broker/token/token.ts';
import { Withdrawal } from '#broker/token/withdrawal.ts';
import { apiOf, authorizationOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { MemoryStore } from './memory-store.ts';

const TOKEN = new Token('jwt', 'read:all write:all', 1_800_000_000, 1_800_003_600);
const issuedOf = (over: Partial<IssuedToken> = {}): IssuedToken => ({
  sha256: TOKEN.sha256,
  claims: {},
  tenant: 'acme',
  organization: undefined,
  audience: 'https://orders.example.com',
  scope: TOKEN.scope,
  clientId: 'acme-role-id',
  sharedClient: false,
  iat: TOKEN.issuedAt,
  exp: TOKEN.expiresAt,
  ...over,
});

function stage(options: { token?: IssuedToken | undefined; document?: Record<string, unknown> } = {}) {
  const store = new MemoryStore();
  const revoked = new Map<string, unknown>();
  const revocations = {
    revoke: async (one: { sha256: string }) => {
      if (revoked.has(one.sha256)) return false;
      revoked.set(one.sha256, one);
      return true;
    },
  };
  const withdrawal = new Withdrawal({
    authorization: authorizationOf({ tenant: tenantOf(options.document) }),
    apis: { byAudience: (audience) => [apiOf('orders')].find((api) => api.audience === audience) },
    issued: { read: async () => ('token' in options ? options.token : issuedOf()) },
    revocations,
    store,
  });
  return { store, revoked, revocations, run: (identity = identityOf(), text = 'jwt') => withdrawal.run(identity, text, {}) };
}

test('its own token is revoked, and leaves the store wherever it lies', async () => {
  const { revoked, run, store } = stage();
  const narrow = await grantOf({ request: { scope: 'read:all' } });
  await store.write(await grantOf(), TOKEN, undefined, 0);
  await store.write(narrow, new Token('narrow', 'read:all', 1, 2), undefined, 0);
  expect(await run()).toBe('revoked');
  expect([...revoked.values()]).toEqual([{ sha256: TOKEN.sha256, exp: TOKEN.expiresAt, tenant: 'acme' }]);
  expect([...store.entries].map(([place, { token }]) => [place, token?.accessToken])).toEqual([
    ['acme/orders', undefined],
    [`acme/orders/${narrow.digest}`, 'narrow'],
  ]);
});

test('a narrower one too, though the key that revokes it is narrowed to other scopes', async () => {
  const narrow = await grantOf({ request: { scope: 'read:all' } });
  const { run, store } = stage({ token: issuedOf({ scope: 'read:all' }) });
  await store.write(narrow, TOKEN, undefined, 0);
  expect(await run(identityOf({ limit: { scopes: ['write:all'] } }))).toBe('revoked');
  expect(store.entries.get(`acme/orders/${narrow.digest}`)?.token).toBeUndefined();
});

test('again, it clears the store once more: the first time may have failed half-way', async () => {
  const { revoked, run, store } = stage();
  await store.write(await grantOf(), TOKEN, undefined, 0);
  store.before = () => {
    throw new PosternError('temporarily_unavailable', 'away');
  };
  await expect(run()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  // Revoked all the same: what is left in the store is served by no replica.
  expect(revoked.size).toBe(1);
  store.before = () => {};
  expect(await run()).toBe('again');
  expect(store.entries.get('acme/orders')?.token).toBeUndefined();
});

test('what cannot be written into the log is not cleared either', async () => {
  const { revocations, run, store } = stage();
  await store.write(await grantOf(), TOKEN, undefined, 0);
  revocations.revoke = () => Promise.reject(new PosternError('too_many_requests', 'later', { retryAfter: 9 }));
  await expect(run()).rejects.toMatchObject({ code: 'too_many_requests', retryAfter: 9 });
  expect(store.entries.get('acme/orders')?.token?.accessToken).toBe('jwt');
});

test('one whose API is no longer granted, or is gone, is revoked all the same', async () => {
  const { revoked, run } = stage({ document: { grants: [] } });
  expect([await run(), revoked.size]).toEqual(['revoked', 1]);
  const gone = stage({ token: issuedOf({ audience: 'https://gone.example.com' }) });
  expect([await gone.run(), gone.revoked.size]).toEqual(['revoked', 1]);
});

describe('nothing happens', () => {
  test("to a neighbour's token", async () => {
    const { revoked, run, store } = stage({ document: { introspects: ['orders'] } });
    expect([await run(identityOf({ tenant: 'globex' })), revoked.size, store.reads]).toEqual(['foreign', 0, 0]);
  });

  test('for what is not a token', async () => {
    const { revoked, run } = stage({ token: undefined });
    expect([await run(), revoked.size]).toEqual(['unknown', 0]);
  });
});

test.each<[string, string]>([
  ['an API key', ApiKey.format('live', '11111111-2222-4333-8444-555555555555', '66666666-7777-4888-8999-aaaaaaaaaaaa')],
  ['a Vault token', 'hvs.CAESIJcanarycanarycanarycanarycanary'],
  ['a batch token', 'hvb.AAAAAQJcanarycanarycanarycanarycanary'],
])('%s is told apart: a 200 would say that it is revoked', async (_what, text) => {
  await expect(stage().run(identityOf(), text)).rejects.toMatchObject({
    code: 'unsupported_token_type',
    status: 400,
    message: expect.not.stringContaining(text),
  });
});
