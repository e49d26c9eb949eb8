import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { AppRoleLogin } from '#broker/vault/approle-login.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { credentialOf } from '#test/unit/credential/credential.ts';
import { NO_ENDS } from './ends.ts';
import { Loopback, closedPort } from './loopback.ts';
import type { Answer } from './loopback.ts';

const SECRET = 'canary-secret-id';
const ACME = credentialOf('acme-role-id', SECRET);
const batch = { client_token: 'hvb.canary', token_type: 'batch', lease_duration: 300, metadata: { role_name: 'acme' } };

async function stage(
  answer: Answer,
  options: { forwardAddress?: boolean; address?: string; onRefusedAddress?: (refused: object) => void } = {},
) {
  const server = await Loopback.start(answer);
  const clock = new Clock();
  const client = new VaultClient({ address: options.address ?? server.origin, timeoutMs: 10_000 });
  const login = new AppRoleLogin({
    client,
    mount: 'approle',
    forwardAddress: options.forwardAddress ?? false,
    ends: NO_ENDS,
    now: clock.now,
    ...(options.onRefusedAddress ? { onRefusedAddress: options.onRefusedAddress } : {}),
  });
  return {
    server,
    clock,
    login: () => login.login(ACME, '192.0.2.7'),
    calls: () => client.calls,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function errorOf(run: () => Promise<unknown>): Promise<PosternError> {
  const error: unknown = await run().then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof PosternError)) throw new Error(`no PosternError: ${inspect(error)}`);
  expect(inspect(error, { showHidden: true, depth: 9 }) + JSON.stringify(error) + (error.detail ?? '')).not.toContain('canary');
  return error;
}

describe('a right credential', () => {
  test('two fields and nothing else go to Vault, without a token and once', async () => {
    await using s = await stage(() => [200, { auth: batch }]);
    const identity = await s.login();
    expect(identity).toMatchObject({ tenant: 'acme', clientId: 'acme-role-id', forwardedFor: undefined });
    expect(identity.token.reveal()).toBe('hvb.canary');
    expect(s.server.received).toHaveLength(1);
    expect(s.server.received[0]).toMatchObject({ method: 'POST', url: '/v1/auth/approle/login' });
    expect(JSON.parse(s.server.received[0]?.body ?? '')).toEqual({ role_id: 'acme-role-id', secret_id: SECRET });
    expect(s.server.received[0]?.headers).not.toHaveProperty('x-vault-token');
    expect(s.server.received[0]?.headers).not.toHaveProperty('x-forwarded-for');
  });

  test("the client's address goes along only when that is set up", async () => {
    await using s = await stage(() => [200, { auth: batch }], { forwardAddress: true });
    expect((await s.login()).forwardedFor).toBe('192.0.2.7');
    expect(s.server.received[0]?.headers['x-forwarded-for']).toBe('192.0.2.7');
  });

  test('ends with the token, a little before', async () => {
    await using s = await stage(() => [200, { auth: batch }]);
    expect((await s.login()).expiresAt).toBe(s.clock.ms + 295_000);
    await using t = await stage(() => [200, { auth: { ...batch, lease_duration: 10 } }]);
    expect((await t.login()).expiresAt).toBe(t.clock.ms + 9_000);
  });

  test('ends with the secret_id where that is sooner', async () => {
    const at = (seconds: unknown) => ({ ...batch, metadata: { role_name: 'acme', expires_at: seconds } });
    const now = new Clock().ms / 1000;
    for (const [seconds, expected] of [
      [String(now + 20), (now + 20) * 1000],
      [String(now + 9999), now * 1000 + 295_000],
      ['nonsense', now * 1000 + 295_000],
      ['', now * 1000 + 295_000],
      ['-5', now * 1000 + 295_000],
      ['Infinity', now * 1000 + 295_000],
      [undefined, now * 1000 + 295_000],
    ] as const) {
      await using s = await stage(() => [200, { auth: at(seconds) }]);
      expect((await s.login()).expiresAt).toBe(expected);
    }
  });

  test('that gives a token of more than an hour is not set up: nobody can revoke it', async () => {
    await using s = await stage(() => [200, { auth: { ...batch, lease_duration: 3601 } }]);
    expect(await errorOf(s.login)).toMatchObject({ code: 'misconfigured' });
  });

  test('is wrong from its noted end on, though Vault has not tidied up yet', async () => {
    await using s = await stage(() => [
      200,
      { auth: { ...batch, metadata: { role_name: 'acme', expires_at: String(new Clock().ms / 1000) } } },
    ]);
    expect((await errorOf(s.login)).code).toBe('invalid_client');
  });
});

describe('refused', () => {
  test('a role that gives service tokens: the operator is told how to mend it, and the token is revoked', async () => {
    await using s = await stage(({ url }) =>
      url.endsWith('/login') ? [200, { auth: { ...batch, client_token: 'hvs.canary', token_type: 'service' } }] : [204, undefined],
    );
    const error = await errorOf(s.login);
    expect([error.code, error.status]).toEqual(['misconfigured', 503]);
    expect(error.detail).toContain('token_type=batch');
    expect(error.detail).toContain('auth/approle/role/acme');
    expect(error.message).not.toContain('acme');
    await expect
      .poll(() => s.server.received.at(-1))
      .toMatchObject({ method: 'POST', url: '/v1/auth/token/revoke-self', headers: { 'x-vault-token': 'hvs.canary' } });
  });

  test.each(['default-service', undefined, '', 'Batch', 'recovery'])('token type %j', async (type) => {
    await using s = await stage(() => [200, { auth: { ...batch, token_type: type } }]);
    expect((await errorOf(s.login)).code).toBe('misconfigured');
  });

  test.each(['../globex', 'globex/x', 'Acme', 'acme*', '+', '', 'a b', 'acme\n', 'x'.repeat(64), 'acme.', '{{x}}'])(
    'a role that is named %j, which no tenant can be',
    async (name) => {
      await using s = await stage(() => [200, { auth: { ...batch, metadata: { role_name: name } } }]);
      const error = await errorOf(s.login);
      expect(['misconfigured', 'temporarily_unavailable']).toContain(error.code);
      expect(error.message).not.toContain('globex');
    },
  );

  test.each<[string, unknown]>([
    ['no auth', {}],
    ['auth null', { auth: null }],
    ['no token', { auth: { ...batch, client_token: undefined } }],
    ['no role name', { auth: { ...batch, metadata: {} } }],
    ['metadata null', { auth: { ...batch, metadata: null } }],
    ['no life', { auth: { ...batch, lease_duration: undefined } }],
    ['a life in words', { auth: { ...batch, lease_duration: '300' } }],
    ['a role name that is a list', { auth: { ...batch, metadata: { role_name: ['acme'] } } }],
    ['no JSON at all', 'hello'],
  ])('an answer with %s is an outage, not a wrong credential', async (_what, body) => {
    await using s = await stage(() => [200, body]);
    expect((await errorOf(s.login)).code).toBe('temporarily_unavailable');
  });
});

describe('what Vault answers, and what the client hears', () => {
  test.each<[string, number, unknown, Record<string, string>, { code: string; status: number; retryAfter: number | undefined }]>([
    [
      'unknown role or wrong secret',
      400,
      { errors: ['invalid role or secret ID'] },
      {},
      { code: 'invalid_client', status: 401, retryAfter: undefined },
    ],
    ['locked or forbidden', 403, { errors: ['permission denied'] }, {}, { code: 'temporarily_unavailable', status: 503, retryAfter: 1 }],
    [
      'a quota',
      429,
      { errors: ['request path "auth/approle/login": rate limit quota exceeded'] },
      { 'Retry-After': '3' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 3 },
    ],
    [
      'a quota for longer than anybody should wait',
      429,
      { errors: [] },
      { 'Retry-After': '999999999' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 3600 },
    ],
    [
      'a quota that is no time',
      429,
      { errors: [] },
      { 'Retry-After': '-5' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    ['a quota without a time', 429, { errors: [] }, {}, { code: 'temporarily_unavailable', status: 503, retryAfter: 1 }],
    ['sealed', 503, { errors: ['Vault is sealed'] }, {}, { code: 'temporarily_unavailable', status: 503, retryAfter: 1 }],
    [
      'no leader',
      500,
      { errors: ['local node not active but active cluster node not found'] },
      {},
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    [
      'no such mount',
      404,
      { errors: ['no handler for route "auth/approle/login"'] },
      {},
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    [
      'a standby that redirects',
      307,
      '',
      { Location: 'http://127.0.0.1:1/' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    [
      'plain http to a TLS listener',
      400,
      'Client sent an HTTP request to an HTTPS server.\n',
      { 'Content-Type': 'text/plain' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    [
      "a proxy's own 400",
      400,
      '<html>Bad Request</html>',
      { 'Content-Type': 'text/html' },
      { code: 'temporarily_unavailable', status: 503, retryAfter: 1 },
    ],
    ["a proxy's own 401", 401, '<html>', { 'Content-Type': 'text/html' }, { code: 'temporarily_unavailable', status: 503, retryAfter: 1 }],
    ["a proxy's own 413", 413, '<html>', { 'Content-Type': 'text/html' }, { code: 'temporarily_unavailable', status: 503, retryAfter: 1 }],
  ])('%s (%i)', async (_what, status, body, headers, expected) => {
    await using s = await stage(() => [status, body, headers]);
    const { code, status: told, retryAfter } = await errorOf(s.login);
    expect({ code, status: told, retryAfter }).toEqual(expected);
    // A login may have spent one of the secret_id's uses: it is tried again only where surely nothing was done, and once.
    expect(s.server.received).toHaveLength(_what === 'sealed' || _what === 'no leader' ? 2 : 1);
  });

  test.each([
    ['a sealed node', 503, 'Vault is sealed'],
    ['a standby without a leader', 500, 'local node not active but active cluster node not found'],
  ])('%s has used nothing up: the next one is asked', async (_what, status, text) => {
    let asked = 0;
    await using s = await stage(() => (++asked === 1 ? [status, { errors: [text] }] : [200, { auth: batch }]));
    expect((await s.login()).tenant).toBe('acme');
    expect(s.server.received).toHaveLength(2);
  });

  test.each([
    ['a 500', 500, { errors: ['internal error'] }],
    ['a 503 of a proxy', 503, '<html>'],
    ['who speaks of a seal in other words', 503, { errors: ['Vault is sealed, says a proxy'] }],
  ])('%s may have done it all the same: nobody is asked again', async (_what, status, body) => {
    await using s = await stage(() => [status, body]);
    await errorOf(s.login);
    expect(s.server.received).toHaveLength(1);
  });

  test('unknown role and wrong secret are one error to the last letter', async () => {
    const told = new Set<string>();
    for (const message of ['invalid role or secret ID', `invalid secret_id "${SECRET}"`, 'missing secret_id']) {
      await using s = await stage(() => [400, { errors: [message] }]);
      const error = await errorOf(s.login);
      told.add(JSON.stringify([error.code, error.message, error.detail, error.retryAfter]));
    }
    expect(told.size).toBe(1);
  });

  test("denied at a bound address, when Vault is told the address: the client's own fault", async () => {
    await using s = await stage(() => [403, { errors: ['permission denied'] }], { forwardAddress: true });
    expect((await errorOf(s.login)).code).toBe('access_denied');
  });

  test('silence, a broken connection, nobody there', async () => {
    await using silent = await stage(() => {});
    expect((await errorOf(silent.login)).code).toBe('temporarily_unavailable');
    await using broken = await stage((_q, _r, raw) => void raw.socket.destroy());
    expect((await errorOf(broken.login)).code).toBe('temporarily_unavailable');
    expect(broken.server.received).toHaveLength(1);
    await using nobody = await stage(() => [200, {}], { address: `http://127.0.0.1:${await closedPort()}` });
    expect((await errorOf(nobody.login)).code).toBe('temporarily_unavailable');
    expect(nobody.calls()).toBe(2);
  });
});

describe('a right secret from the wrong address', () => {
  const WORDS = {
    'of the role': 'source address "192.0.2.9" unauthorized by CIDR restrictions on the role: %!w(<nil>)',
    'of the secret_id': 'source address "192.0.2.9" unauthorized through CIDR restrictions on the secret ID',
  };

  test.each(Object.entries(WORDS))(
    'by the CIDRs %s: told to the broker, and for the client like any wrong credential',
    async (_, words) => {
      const told: object[] = [];
      await using s = await stage(() => [400, { errors: [words] }], {
        forwardAddress: true,
        onRefusedAddress: (refused) => told.push(refused),
      });
      const error = await errorOf(s.login);
      expect(told).toEqual([{ clientId: 'acme-role-id', address: '192.0.2.7', forwarded: '192.0.2.7', seen: '192.0.2.9' }]);
      await using wrong = await stage(() => [400, { errors: ['invalid role or secret ID'] }], {
        onRefusedAddress: (refused) => told.push(refused),
      });
      expect(error).toEqual(await errorOf(wrong.login));
      expect(told).toHaveLength(1);
    },
  );
});
