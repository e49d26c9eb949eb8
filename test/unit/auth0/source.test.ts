import { createHmac, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { SignJWT, UnsecuredJWT, exportJWK, importJWK } from 'jose';
import type { JWK } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { Auth0Source } from '#broker/auth0/source.ts';
import type { Auth0SourceOptions } from '#broker/auth0/source.ts';
import { PosternError } from '#broker/error.ts';
import type { Meter } from '#broker/quota/meter.ts';
import { ORDERS, apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { closedPort } from '#test/unit/vault/loopback.ts';
import { CLIENT, FakeAuth0, SECRET, TENANT_CLAIM, keyPair } from './fake-auth0.ts';
import type { KeyPair } from './fake-auth0.ts';

/** Bytes; what a socket holds of it besides what is read is far less. */
const MUCH = 64 * 1024 * 1024;

let key: KeyPair;
let foreign: KeyPair;
beforeAll(async () => {
  [key, foreign] = await Promise.all([keyPair('kid-1'), keyPair('kid-2')]);
});

async function stage(options: Partial<Auth0SourceOptions> & { secrets?: string[] } = {}) {
  const auth0 = await FakeAuth0.start(key);
  const upstream = { reads: 0, clientId: CLIENT, secrets: options.secrets ?? [SECRET] };
  const clock = { offset: 0 };
  const source = new Auth0Source({
    issuer: auth0.issuer,
    upstream: {
      readUpstream: async () => {
        upstream.reads++;
        return { clientId: upstream.clientId, clientSecrets: upstream.secrets };
      },
    },
    binding: 'action',
    tenantClaim: TENANT_CLAIM,
    // Not to be reached, on however busy a machine: the tests of the deadline name their own.
    timeoutMs: 10_000,
    now: () => Date.now() + clock.offset,
    ...options,
  });
  const grantFor = (request: { scope?: string } = {}) =>
    grantOf({
      apis: [apiOf('orders', { source: 'auth0' })],
      issuers: { transit: undefined, auth0: auth0.issuer },
      tenant: tenantOf({ organization: 'org_acme', grants: [{ api: 'orders', scopes: ['read:all', 'write:all'] }] }),
      request,
    });
  const grant = await grantFor();
  return {
    auth0,
    source,
    grant,
    grantOf: grantFor,
    upstream,
    clock,
    issue: () => source.issue(grant),
    [Symbol.asyncDispose]: () => auth0[Symbol.asyncDispose](),
  };
}

async function errorOf(run: () => Promise<unknown>): Promise<PosternError> {
  const error: unknown = await run().then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof PosternError)) throw new Error(`no PosternError: ${inspect(error)}`);
  const all = inspect(error, { showHidden: true, depth: 12 }) + JSON.stringify(error) + (error.detail ?? '') + (error.stack ?? '');
  expect(all).not.toMatch(/canary|eyJ/);
  expect(error.cause).toBeUndefined();
  return error;
}

describe('asking', () => {
  test('by the Action: exactly these parameters', async () => {
    await using s = await stage();
    const token = await s.issue();
    expect(s.auth0.parametersOf(0)).toEqual({
      grant_type: 'client_credentials',
      client_id: CLIENT,
      client_secret: SECRET,
      audience: ORDERS,
      scope: 'read:all write:all',
      postern_tenant: 'acme',
    });
    expect(token.scope).toBe('read:all write:all');
    expect(token.expiresAt - token.issuedAt).toBe(86_400);
    expect(s.source.calls).toBe(1);
  });

  test('by the organization: exactly these', async () => {
    await using s = await stage({ binding: 'organization' });
    await s.issue();
    expect(s.auth0.parametersOf(0)).toEqual({
      grant_type: 'client_credentials',
      client_id: CLIENT,
      client_secret: SECRET,
      audience: ORDERS,
      scope: 'read:all write:all',
      organization: 'org_acme',
    });
  });

  test('by the organization, for a tenant that has none: Auth0 is not asked', async () => {
    await using s = await stage({ binding: 'organization' });
    const grant = await grantOf({ issuers: { transit: s.auth0.issuer, auth0: s.auth0.issuer } });
    expect((await errorOf(() => s.source.issue(grant))).code).toBe('misconfigured');
    expect(s.auth0.exchanges).toHaveLength(0);
  });

  test('the secret goes into the body, never into the address or a header', async () => {
    await using s = await stage();
    await s.issue();
    expect(JSON.stringify([s.auth0.exchanges[0]?.url, s.auth0.exchanges[0]?.headers])).not.toContain('canary');
  });

  test('the credential is kept a minute, then read again', async () => {
    await using s = await stage();
    await s.issue();
    s.clock.offset = 59_000;
    await s.issue();
    expect(s.upstream.reads).toBe(1);
    s.clock.offset = 61_000;
    await s.issue();
    expect(s.upstream.reads).toBe(2);
  });
});

describe('a rotated secret', () => {
  test('not known everywhere yet: the previous one is tried', async () => {
    await using s = await stage({ secrets: ['canary-new-secret', SECRET] });
    await s.issue();
    expect(s.auth0.exchanges.map((_, i) => s.auth0.parametersOf(i)['client_secret'])).toEqual(['canary-new-secret', SECRET]);
  });

  test('written to Vault just now: a refusal makes it be read again at once', async () => {
    await using s = await stage({ secrets: ['canary-old-secret'] });
    s.auth0.secrets = ['canary-old-secret'];
    await s.issue();
    s.auth0.secrets = ['canary-newest'];
    s.upstream.secrets = ['canary-newest', 'canary-old-secret'];
    await s.issue();
    expect(s.upstream.reads).toBe(2);
  });

  test('none is right: four attempts at most, the operator is told, and the client hears nothing of it', async () => {
    await using s = await stage({ secrets: ['canary-wrong-1', 'canary-wrong-2'] });
    const error = await errorOf(s.issue);
    expect(error).toMatchObject({ code: 'misconfigured', message: 'Service temporarily unavailable', retryAfter: 10 });
    expect(error.detail).toContain('postern upstream set');
    expect(s.auth0.exchanges).toHaveLength(4);
  });

  test("401 as Auth0's OpenAPI has it, and with a challenge", async () => {
    for (const answer of [
      [401, { error: 'invalid_client', error_description: SECRET }, {}],
      [401, {}, { 'WWW-Authenticate': `Basic realm="${SECRET}"` }],
      [401, '<html>', { 'Content-Type': 'text/html' }],
    ] as const) {
      await using s = await stage();
      s.auth0.override = () => [answer[0], answer[1], answer[2]];
      expect((await errorOf(s.issue)).code).toBe('misconfigured');
    }
  });
});

describe('when Auth0 has enough', () => {
  test.each<[string, Record<string, string>, [number, number]]>([
    ['Retry-After', { 'Retry-After': '42' }, [42, 42]],
    ['X-RateLimit-Reset', { 'X-RateLimit-Reset': String(Math.ceil(Date.now() / 1000) + 90) }, [60, 91]],
    ['both: Retry-After', { 'Retry-After': '5', 'X-RateLimit-Reset': String(Math.ceil(Date.now() / 1000) + 90) }, [5, 5]],
    [
      'a date in Retry-After, and a reset',
      { 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT', 'X-RateLimit-Reset': String(Math.ceil(Date.now() / 1000) + 90) },
      [60, 91],
    ],
    ['a date in Retry-After', { 'Retry-After': new Date(Date.now() + 1_800_000).toUTCString() }, [1_700, 1_800]],
    ['nothing', {}, [10, 10]],
    ['nonsense', { 'Retry-After': 'soon', 'X-RateLimit-Reset': 'later' }, [10, 10]],
    ['a time that is over', { 'X-RateLimit-Reset': '1000' }, [1, 1]],
    ['a negative time', { 'Retry-After': '-5' }, [1, 1]],
    ['a time beyond all reason', { 'Retry-After': '99999999' }, [3600, 3600]],
    ['an endless time', { 'Retry-After': 'Infinity' }, [10, 10]],
  ])('429 with %s', async (_what, headers, [least, most]) => {
    await using s = await stage();
    s.auth0.override = () => [429, { error: 'too_many_requests', error_description: SECRET }, headers];
    const error = await errorOf(s.issue);
    expect(error.code).toBe('temporarily_unavailable');
    expect(error.retryAfter).toBeGreaterThanOrEqual(least);
    expect(error.retryAfter).toBeLessThanOrEqual(most);
  });

  test('nobody asks before then, whatever the tenant; then one may', async () => {
    await using s = await stage();
    s.auth0.override = () => [429, {}, { 'Retry-After': '30' }];
    await errorOf(s.issue);
    s.auth0.override = undefined;
    s.clock.offset = 29_000;
    const others = await grantOf({ identity: { tenant: 'globex' }, issuers: { transit: s.auth0.issuer, auth0: s.auth0.issuer } });
    expect((await errorOf(() => s.source.issue(others))).retryAfter).toBeLessThanOrEqual(2);
    expect(s.auth0.exchanges).toHaveLength(1);
    s.clock.offset = 30_100;
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test('nor longer because the clock was set back', async () => {
    const clock = new Clock();
    await using s = await stage({ now: Date.now, monotonic: clock.monotonic });
    s.auth0.override = () => [429, {}, { 'Retry-After': '30' }];
    await errorOf(s.issue);
    s.auth0.override = undefined;
    clock.setBack(3_600_000);
    clock.advance(30_100);
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test('429 as a page, not as JSON', async () => {
    await using s = await stage();
    s.auth0.override = () => [429, '<html>', { 'Content-Type': 'text/html', 'Retry-After': '17' }];
    expect((await errorOf(s.issue)).retryAfter).toBe(17);
  });
});

describe('when Auth0 fails', () => {
  test.each([500, 502, 503, 504])('%i is an outage', async (status) => {
    for (const answer of [
      [status, { error: 'server_error', error_description: SECRET }, {}],
      [status, `<html>${SECRET}`, { 'Content-Type': 'text/html' }],
    ] as const) {
      await using s = await stage();
      s.auth0.override = () => [answer[0], answer[1], answer[2]];
      expect(await errorOf(s.issue)).toMatchObject({ code: 'temporarily_unavailable', retryAfter: 2 });
      expect(s.auth0.exchanges).toHaveLength(1);
    }
  });

  test('again and again, it is asked now and then only, and that is told', async () => {
    await using s = await stage();
    expect(s.source.available).toBe(true);
    s.auth0.override = () => [500, '<html>'];
    while (s.source.available && s.auth0.exchanges.length < 100) await errorOf(s.issue);
    const asked = s.auth0.exchanges.length;
    expect(asked).toBeLessThan(20);
    await errorOf(s.issue);
    expect(s.auth0.exchanges).toHaveLength(asked);
  });

  test.each<[string, readonly [number, unknown, Record<string, string>?]]>([
    ['an error', [200, { error: 'access_denied' }]],
    ['nothing', [200, '']],
    ['half of an answer', [200, '{"access_token":"a', { 'Content-Type': 'application/json' }]],
    ['a page', [200, '<html>', { 'Content-Type': 'text/html' }]],
    ['a life that is over', [200, { access_token: SECRET, token_type: 'Bearer', expires_in: -1 }]],
    ['no life', [200, { access_token: SECRET, token_type: 'Bearer', expires_in: null }]],
    ['no type', [200, { access_token: SECRET }]],
    ['a scope that is a number', [200, { access_token: SECRET, token_type: 'Bearer', scope: 7 }]],
    ['204', [204, '']],
  ])('200 with %s is not paid for again at once, and told as what it is', async (_what, answer) => {
    await using s = await stage();
    s.auth0.override = () => [...answer];
    const error = await errorOf(s.issue);
    expect(error).toMatchObject({ code: 'misconfigured', detail: expect.stringContaining(`Auth0 answered ${answer[0]} without a token`) });
    expect(error.detail).not.toContain(SECRET);
    expect(s.source.available).toBe(true);
    for (const [offset, asked] of [
      [1_900, 1],
      [2_100, 2],
      [6_000, 2],
      [6_200, 3],
    ] as const) {
      s.clock.offset = offset;
      await errorOf(s.issue);
      expect([offset, s.auth0.exchanges.length]).toEqual([offset, asked]);
    }
    s.auth0.override = undefined;
    s.clock.offset = 15_000;
    await s.issue();
  });

  test('an answer that breaks off is no answer', async () => {
    await using s = await stage();
    s.auth0.override = (_received, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).write('{"access_token":');
      setTimeout(() => response.destroy(), 50);
    };
    expect(await errorOf(s.issue)).toMatchObject({ detail: expect.stringContaining('cannot be reached'), retryAfter: 2 });
  });

  test('silence ends at the deadline', async () => {
    await using s = await stage({ timeoutMs: 200 });
    s.auth0.override = () => {};
    const begun = Date.now();
    expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
    expect(Date.now() - begun).toBeLessThan(1500);
  });

  test('a body that drips ends at the deadline too', async () => {
    await using s = await stage({ timeoutMs: 200 });
    s.auth0.override = (_q, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    };
    const begun = Date.now();
    expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
    expect(Date.now() - begun).toBeLessThan(1500);
  });

  test.each([
    ['a token', '/oauth/token', 'Auth0 answered at a length that no token has'],
    ['its keys', '/.well-known/jwks.json', 'cannot be fetched'],
  ])('%s without end: no more is read than such an answer has', async (_which, path, told) => {
    await using s = await stage({ timeoutMs: 60_000 });
    let sent = 0;
    const endless = createServer((request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      if (request.url !== path) return void response.end(JSON.stringify({ keys: s.auth0.published }));
      const chunk = Buffer.alloc(65_536, ' ');
      const more = (): void => {
        while (!response.destroyed && sent < MUCH) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    }).listen(0, '127.0.0.1');
    await once(endless, 'listening');
    try {
      await using other = await stage({ issuer: `http://127.0.0.1:${(endless.address() as AddressInfo).port}/`, timeoutMs: 60_000 });
      const error = await errorOf(other.issue);
      expect([error.code, error.detail]).toEqual(['temporarily_unavailable', expect.stringContaining(told)]);
      expect(sent).toBeLessThan(MUCH / 2);
    } finally {
      endless.closeAllConnections();
      endless.close();
    }
  });

  test('nobody there', async () => {
    await using s = await stage({ issuer: `http://127.0.0.1:${await closedPort()}/` });
    expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
  });

  test('a connection that breaks', async () => {
    await using s = await stage();
    s.auth0.override = (_q, _r, raw) => void raw.socket.destroy();
    expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
  });

  test.each([301, 302, 307, 308])('%i is not followed: the secret stays here', async (status) => {
    await using s = await stage();
    await using thief = await FakeAuth0.start(key);
    s.auth0.override = () => [status, '', { Location: `${thief.issuer}oauth/token` }];
    await errorOf(s.issue);
    expect(thief.server.received).toEqual([]);
  });

  test.each<[number, string]>([
    [403, 'access_denied'],
    [403, 'unauthorized_client'],
    [400, 'invalid_request'],
    [404, 'not_found'],
  ])('%i %s: the operator is told what to look at', async (status, error) => {
    await using s = await stage();
    s.auth0.override = () => [status, { error, error_description: `Client "${CLIENT}" ${SECRET}` }];
    const told = await errorOf(s.issue);
    expect(told).toMatchObject({ code: 'misconfigured', message: 'Service temporarily unavailable' });
    expect(told.detail).toContain(`${status} ${error}`);
    expect(told.retryAfter).toBeGreaterThan(0);
  });

  test('a malformed error code is not repeated to the log', async () => {
    await using s = await stage();
    s.auth0.override = () => [403, { error: `x\n${SECRET}`, error_description: 'x' }];
    expect((await errorOf(s.issue)).detail).not.toContain('x\n');
  });

  test.each<[string, unknown]>([
    ['no token', { token_type: 'Bearer' }],
    ['a token that is not a string', { access_token: 7, token_type: 'Bearer' }],
    ['an empty token', { access_token: '', token_type: 'Bearer' }],
    ['no type', { access_token: 'x' }],
    ['no JSON', 'hello'],
    ['a list', []],
    ['nothing', ''],
    ['an opaque token', { access_token: 'canary-opaque', token_type: 'Bearer' }],
    ['something like a token', { access_token: 'a.b.c', token_type: 'Bearer' }],
    ['an encrypted token', { access_token: 'a.b.c.d.e', token_type: 'Bearer' }],
  ])('a 200 with %s is not a token', async (_what, body) => {
    await using s = await stage();
    s.auth0.override = () => [200, body];
    expect((await errorOf(s.issue)).status).toBe(503);
  });

  test('its key set is down: an outage, and no token is asked for that could not be checked', async () => {
    const clock = new Clock();
    await using s = await stage({ monotonic: clock.monotonic });
    s.auth0.keysDown = true;
    for (let n = 0; n < 3; n++) {
      expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
      clock.advance(2_000);
    }
    expect(s.auth0.exchanges).toHaveLength(0);
    s.auth0.keysDown = false;
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test('its key set is down when it signs by a new key: the token is kept until it can be checked', async () => {
    const clock = new Clock();
    await using s = await stage({ monotonic: clock.monotonic });
    await s.issue();
    clock.advance(30_000);
    Object.assign(s.auth0, { key: foreign, published: [foreign.jwk], keysDown: true });
    for (let n = 0; n < 3; n++) {
      expect((await errorOf(s.issue)).code).toBe('temporarily_unavailable');
      clock.advance(2_000);
    }
    s.auth0.keysDown = false;
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(2);
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(3);
  });

  test('what it gives is refused: no token after token is paid for, and other grants are not held up', async () => {
    const clock = new Clock();
    await using s = await stage({ monotonic: clock.monotonic });
    s.auth0.forge = (payload) => s.auth0.sign({ ...payload, aud: 'another' });
    for (let waited = 0; waited < 600; waited++) {
      expect((await errorOf(s.issue)).code).toBe('misconfigured');
      clock.advance(1_000);
    }
    // After 2, 4, 8, 16 and 32 s, and once a minute.
    expect(s.auth0.exchanges).toHaveLength(14);
    s.auth0.forge = undefined;
    await s.source.issue(await s.grantOf({ scope: 'read:all' }));
    clock.advance(60_000);
    await s.issue();
    await s.issue();
    expect(s.auth0.exchanges).toHaveLength(17);
  });
});

describe('a token from Auth0 that is not what was asked for is refused', () => {
  type Set = (auth0: FakeAuth0) => void;
  const claims =
    (over: Record<string, unknown>): Set =>
    (auth0) =>
      (auth0.claims = over);
  const header =
    (over: Record<string, unknown>): Set =>
    (auth0) =>
      (auth0.header = over);
  const now = () => Math.floor(Date.now() / 1000);

  test.each<[string, Set]>([
    ['another issuer', claims({ iss: 'https://evil.example.com/' })],
    ['the issuer without its slash', (auth0) => (auth0.claims = { iss: auth0.issuer.slice(0, -1) })],
    ['no issuer', claims({ iss: undefined })],
    ['another audience', claims({ aud: 'https://billing.example.com' })],
    ['a further audience beside', claims({ aud: [ORDERS, 'https://billing.example.com'] })],
    ['no audience', claims({ aud: undefined })],
    ['another application (azp)', claims({ azp: 'somebody-else' })],
    ['another application (client_id)', claims({ azp: undefined, client_id: 'somebody-else' })],
    ['no application', claims({ azp: undefined })],
    ['azp and client_id that disagree', claims({ client_id: 'somebody-else' })],
    ['a scope too many', (auth0) => (auth0.scope = 'read:all write:all admin')],
    ['a scope of another case', (auth0) => (auth0.scope = 'READ:all')],
    ['permissions too many', claims({ permissions: ['read:all', 'delete:all'] })],
    ['permissions that are not strings', claims({ permissions: [{ a: 1 }] })],
    ['a scope that is a list', claims({ scope: ['admin'] })],
    ['permissions that are a string', claims({ permissions: 'admin' })],
    ['no binding to the tenant', claims({ [TENANT_CLAIM]: undefined })],
    ['another tenant', claims({ [TENANT_CLAIM]: 'globex' })],
    ['a list of tenants', claims({ [TENANT_CLAIM]: ['acme'] })],
    ['the tenant in other case', claims({ [TENANT_CLAIM]: 'ACME' })],
    ['an end that is over', claims({ iat: now() - 7200, exp: now() - 3600 })],
    ['no end', claims({ exp: undefined })],
    ['no beginning', claims({ iat: undefined })],
    ['a beginning five minutes ahead', claims({ iat: now() + 300 })],
    ['not valid before five minutes from now', claims({ nbf: now() + 300 })],
    ['an end in words', claims({ exp: 'never' as unknown as number })],
    ['the type of an ID token', header({ typ: 'id+jwt' })],
    ['the type of a logout token', header({ typ: 'logout+jwt' })],
    [
      'an unknown critical header',
      (auth0) => (auth0.forge = (payload) => auth0.sign(payload, key, { crit: ['x'], x: 1 }).catch(() => 'a.b.c')),
    ],
    [
      'another key under its kid',
      (auth0) => (auth0.forge = (payload) => auth0.sign(payload, { ...foreign, jwk: { ...foreign.jwk, kid: key.jwk.kid } })),
    ],
    ['a kid that Auth0 does not publish', (auth0) => (auth0.forge = (payload) => auth0.sign(payload, foreign))],
    [
      'its own key in the header (jwk)',
      (auth0) => (auth0.forge = (payload) => auth0.sign(payload, foreign, { jwk: foreign.jwk, kid: key.jwk.kid })),
    ],
    [
      'its own key set in the header (jku)',
      (auth0) => (auth0.forge = (payload) => auth0.sign(payload, foreign, { jku: `${auth0.issuer}evil.json`, kid: foreign.jwk.kid })),
    ],
    [
      'its own certificate in the header (x5u)',
      (auth0) => (auth0.forge = (payload) => auth0.sign(payload, foreign, { x5u: `${auth0.issuer}evil.pem`, kid: foreign.jwk.kid })),
    ],
    ['no signature (none)', (auth0) => (auth0.forge = (payload) => new UnsecuredJWT(payload).encode())],
    ['the signature cut off', (auth0) => (auth0.forge = async (payload) => (await auth0.sign(payload)).replace(/\.[^.]*$/, '.'))],
    [
      'a payload changed after signing',
      (auth0) =>
        (auth0.forge = async (payload) => {
          const [head, , signature] = (await auth0.sign({ ...payload, [TENANT_CLAIM]: 'globex' })).split('.');
          return `${head}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.${signature}`;
        }),
    ],
    [
      'HS256 with the public key as its secret',
      (auth0) =>
        (auth0.forge = (payload) => {
          const pem = createPublicKey({ key: key.jwk as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
          const input = [{ alg: 'HS256', typ: 'JWT', kid: key.jwk.kid }, payload]
            .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
            .join('.');
          return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`;
        }),
    ],
    [
      'PS256, rightly signed by the same key, which is published without its alg',
      (auth0) => {
        auth0.published = [{ ...key.jwk, alg: undefined } as unknown as JWK];
        auth0.forge = async (payload) => {
          const pss = await importJWK(await exportJWK(key.privateKey), 'PS256');
          return new SignJWT(payload).setProtectedHeader({ alg: 'PS256', typ: 'JWT', kid: key.jwk.kid }).sign(pss);
        };
      },
    ],
  ])('%s', async (_fault, set) => {
    await using s = await stage();
    set(s.auth0);
    const error = await errorOf(s.issue);
    expect(error).toMatchObject({ code: 'misconfigured', status: 503, message: 'Service temporarily unavailable', retryAfter: 10 });
    expect(error.detail).toContain('The token from Auth0 is refused');
    expect(s.auth0.server.received.filter(({ url }) => url.includes('evil'))).toEqual([]);
  });

  test.each<[string, Record<string, unknown>]>([
    ['no organization', { org_id: undefined }],
    ['another organization', { org_id: 'org_globex' }],
    ['a list of organizations', { org_id: ['org_acme'] }],
  ])('bound by organization: %s', async (_fault, over) => {
    await using s = await stage({ binding: 'organization' });
    s.auth0.claims = over;
    expect((await errorOf(s.issue)).detail).toContain('org_id');
  });

  test("the Action's claim does not stand in for the organization, nor the other way round", async () => {
    await using organization = await stage({ binding: 'organization' });
    organization.auth0.claims = { org_id: undefined, [TENANT_CLAIM]: 'acme' };
    await errorOf(organization.issue);
    await using action = await stage();
    action.auth0.claims = { org_id: 'org_acme', [TENANT_CLAIM]: undefined };
    await errorOf(action.issue);
  });
});

describe('accepted', () => {
  test.each<[string, (auth0: FakeAuth0) => void]>([
    [
      'the RFC 9068 dialect',
      (auth0) => {
        auth0.claims = { azp: undefined, client_id: CLIENT, jti: 'x' };
        auth0.header = { typ: 'at+jwt' };
      },
    ],
    ['no typ', (auth0) => (auth0.header = { typ: undefined })],
    ['the audience as a list of one', (auth0) => (auth0.claims = { aud: [ORDERS] })],
    ['permissions as granted', (auth0) => (auth0.claims = { permissions: ['read:all', 'write:all'] })],
    ['fewer scopes than granted', (auth0) => (auth0.scope = 'read:all')],
    ['a clock 20 s ahead of ours', (auth0) => (auth0.claims = { iat: Math.floor(Date.now() / 1000) + 20 })],
  ])('%s', async (_what, set) => {
    await using s = await stage();
    set(s.auth0);
    await s.issue();
  });

  test('what it grants is told as the token says, not as it was asked', async () => {
    await using s = await stage();
    s.auth0.scope = 'read:all';
    expect((await s.issue()).scope).toBe('read:all');
  });

  test('a tenant without scopes asks for none', async () => {
    await using s = await stage();
    const grant = await grantOf({ apis: [apiOf('orders', { scopes: [] })], issuers: { transit: s.auth0.issuer, auth0: undefined } });
    await s.source.issue(grant);
    expect(s.auth0.parametersOf(0)).not.toHaveProperty('scope');
  });
});

describe('the key set', () => {
  test('is fetched once, and again for a kid that is new', async () => {
    await using s = await stage();
    await Promise.all(Array.from({ length: 20 }, () => s.issue()));
    expect(s.auth0.fetches).toBe(1);
  });

  test('is not fetched for each random kid: once in 30 s at most', async () => {
    await using s = await stage();
    await s.issue();
    let kid = 0;
    s.auth0.forge = (payload) => s.auth0.sign(payload, { ...foreign, jwk: { ...foreign.jwk, kid: `random-${kid++}` } });
    for (let i = 0; i < 50; i++) await errorOf(s.issue);
    expect(s.auth0.fetches).toBeLessThanOrEqual(2);
  });
});

describe('its time', () => {
  test.each([
    ['as it tells it', {}, true],
    ['not as a cache kept it', { age: '600' }, false],
  ])('is learnt from a look at its keys, %s', async (_how, headers, counts) => {
    const date = new Date(Date.now() - 600_000).toUTCString();
    const looked = async (): Promise<Response> => Response.json({ keys: [foreign.jwk] }, { headers: { date, ...headers } });
    await using s = await stage({ fetch: looked });
    for (let times = 0; times < 2; times++) await s.source.askTime();
    expect(s.source.clock.ms < -590_000).toBe(counts);
    expect(s.source.calls).toBe(0);
  });
});

describe('each token is counted before it is asked for', () => {
  const metered = async (options: Partial<Auth0SourceOptions> = {}) => {
    const tally = { counted: 0, takenBack: 0 };
    const meter: Meter = {
      admit: () => {},
      count: async () => {
        tally.counted++;
        return { takeBack: () => void tally.takenBack++ };
      },
    };
    return Object.assign(await stage({ meter, ...options }), { tally });
  };

  test('and stays counted, though what came is refused here', async () => {
    await using s = await metered();
    await s.issue();
    s.auth0.override = () => [200, { access_token: 'no token', token_type: 'Bearer', expires_in: 60 }];
    await errorOf(s.issue);
    expect(s.tally).toEqual({ counted: 2, takenBack: 0 });
  });

  test.each([
    ['429', [429, { error: 'too_many_requests' }]],
    ['403', [403, { error: 'access_denied' }]],
    ['500', [500, '<html>']],
    ['a redirect', [302, '']],
  ] as const)('%s: Auth0 has made none, so it is taken back', async (_what, [status, body]) => {
    await using s = await metered();
    s.auth0.override = () => [status, body];
    await errorOf(s.issue);
    expect(s.tally).toEqual({ counted: 1, takenBack: 1 });
  });

  test('nobody listens there: taken back', async () => {
    const closed = `http://127.0.0.1:${await closedPort()}/`;
    await using s = await metered({ fetch: (to, init) => fetch(new Request(to, init).url.endsWith('/oauth/token') ? closed : to, init) });
    await errorOf(s.issue);
    expect(s.tally).toEqual({ counted: 1, takenBack: 1 });
  });

  test('nobody ever listened there: its keys are wanted first, so nothing was counted', async () => {
    await using s = await metered({ issuer: `http://127.0.0.1:${await closedPort()}/` });
    await errorOf(s.issue);
    expect(s.tally).toEqual({ counted: 0, takenBack: 0 });
  });

  test('no answer, or a 200 that nobody can read: nobody knows, so it stays', async () => {
    await using s = await metered({ timeoutMs: 200 });
    s.auth0.override = () => {};
    await errorOf(s.issue);
    s.auth0.override = () => [200, '{'];
    await errorOf(s.issue);
    expect(s.tally).toEqual({ counted: 2, takenBack: 0 });
  });

  test('what may not be fetched is not asked for', async () => {
    const spent = new PosternError('too_many_requests', 'no more');
    await using s = await stage({
      meter: {
        admit: () => {
          throw spent;
        },
        count: () => Promise.reject(spent),
      },
    });
    await expect(s.issue()).rejects.toBe(spent);
    expect(() => s.source.admit(s.grant)).toThrow(spent);
    expect(s.auth0.exchanges).toEqual([]);
  });
});

describe('one tenant for which Auth0 fails', () => {
  const grantsOf = (issuer: string) =>
    Promise.all(
      ['noisy', 'good', 'other'].map((tenant) =>
        grantOf({
          identity: { tenant },
          apis: [apiOf('orders', { source: 'auth0' })],
          issuers: { transit: undefined, auth0: issuer },
          tenant: tenantOf({ organization: `org_${tenant}` }),
        }),
      ),
    );
  test('whose organization has spent its own quota pauses alone', async () => {
    await using s = await stage({ binding: 'organization' });
    const [noisy, good] = await grantsOf(s.auth0.issuer);
    s.auth0.failsFor = {
      text: 'org_noisy',
      answer: [429, {}, { 'Retry-After': '3000', 'Auth0-Organization-Quota-Limit': 'b=per_hour;q=10;r=0;t=3000' }],
    };
    expect((await errorOf(() => s.source.issue(noisy!))).retryAfter).toBe(3000);
    expect((await errorOf(() => s.source.issue(noisy!))).detail).toContain('pause');
    await s.source.issue(good!);
  });

  test('but not where the application’s is spent too', async () => {
    await using s = await stage({ binding: 'organization' });
    const [noisy, good] = await grantsOf(s.auth0.issuer);
    const spent = { 'Auth0-Organization-Quota-Limit': 'b=per_hour;q=10;r=0;t=30', 'Auth0-Client-Quota-Limit': 'b=per_hour;q=10;r=0;t=30' };
    s.auth0.failsFor = { text: 'org_noisy', answer: [429, {}, { 'Retry-After': '30', ...spent }] };
    await errorOf(() => s.source.issue(noisy!));
    expect((await errorOf(() => s.source.issue(good!))).detail).toContain('pause');
  });

  test('opens the breaker for nobody while others are answered, and leaves them the first try where it is open', async () => {
    const clock = new Clock();
    await using s = await stage({ binding: 'organization', now: Date.now, monotonic: clock.monotonic });
    const [noisy, good, other] = await grantsOf(s.auth0.issuer);
    s.auth0.failsFor = { text: 'org_noisy', answer: [500, {}, {}] };
    for (let second = 0; second < 30; second++) {
      await s.source.issue(good!);
      for (let times = 0; times < 8; times++) await errorOf(() => s.source.issue(noisy!));
      expect(s.source.available).toBe(true);
      clock.advance(1_000);
    }
    // Nobody else comes for a while: then it counts.
    clock.advance(10_000);
    for (let times = 0; times < 8; times++) await errorOf(() => s.source.issue(noisy!));
    expect(s.source.available).toBe(false);
    clock.advance(2_001);
    await errorOf(() => s.source.issue(noisy!));
    await s.source.issue(other!);
    expect(s.source.available).toBe(true);
  });
});
