import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Generations } from '#broker/credential/generations.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { Credential } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import { introspectionEndpoint } from '#broker/http/introspection-endpoint.ts';
import { revocationEndpoint } from '#broker/http/revocation-endpoint.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import type { Introspection } from '#broker/token/introspection.ts';
import type { IssuedToken } from '#broker/token/issued-tokens.ts';
import type { Withdrawal } from '#broker/token/withdrawal.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { TENANT_CLAIM } from '#test/unit/token/signer.ts';

const JWT = 'eyJhbGciOiJSUzI1NiJ9.canary-token.signature';
const SECRET = 'canary-client-secret';
const SHA = createHash('sha256').update(JWT).digest('hex');
const TOKEN: IssuedToken = {
  sha256: SHA,
  claims: { iss: 'https://tokens.example.com/', sub: 'globex-role-id@clients' },
  tenant: 'globex',
  organization: undefined,
  audience: 'https://orders.example.com',
  scope: 'read:all',
  clientId: 'globex-role-id',
  sharedClient: false,
  iat: 1_800_000_000,
  exp: 1_800_003_600,
};

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

const PATHS = ['/oauth/introspect', '/oauth/revoke'] as const;
type Path = (typeof PATHS)[number];

async function stage(outcome: { introspect?: Introspection['run']; revoke?: Withdrawal['run']; write?: (line: string) => void } = {}) {
  const introspect = vi.fn<Introspection['run']>(
    outcome.introspect ?? (async (_identity, _token, trace) => ((trace.token = TOKEN), TOKEN)),
  );
  const revoke = vi.fn<Withdrawal['run']>(outcome.revoke ?? (async () => 'revoked' as const));
  const lines: string[] = [];
  const verifier = {
    verify: (credential: Credential) => {
      if (!(credential instanceof AppRoleCredential) || credential.reveal() !== SECRET) throw wrongCredential();
      return identityOf({ clientId: credential.clientId });
    },
  };
  const generations = new Generations();
  const audit = { write: outcome.write ?? ((line: string) => void lines.push(line)) };
  const server = new HttpServer({
    routes: [
      introspectionEndpoint({ verifier, generations, audit, introspection: { run: introspect }, tenantClaim: TENANT_CLAIM }),
      revocationEndpoint({ verifier, generations, audit, withdrawal: { run: revoke } }),
    ],
    errors: 'rfc6749',
  });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  const send = async (path: string, body: string | undefined, headers: Record<string, string> = {}, method = 'POST') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  };
  return { introspect, revoke, send, generations, lines, events: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const form = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString();
const credential = { client_id: 'acme-role-id', client_secret: SECRET };
const good = { ...credential, token: JWT };
const basic = { Authorization: `Basic ${Buffer.from(`acme-role-id:${SECRET}`).toString('base64')}` };

describe('an authenticated client', () => {
  test.each<[string, string, Record<string, string>]>([
    ['form, post', form(good), {}],
    ['form, Basic', form({ token: JWT }), basic],
    ['JSON, post', JSON.stringify(good), { 'Content-Type': 'application/json' }],
    ['with a hint', form({ ...good, token_type_hint: 'access_token' }), {}],
    ['with the hint of a type that there is not here', form({ ...good, token_type_hint: 'refresh_token' }), {}],
    ['with a hint that nobody knows', form({ ...good, token_type_hint: 'pigeon' }), {}],
    ['with parameters that nobody knows', form({ ...good, resource: 'x' }), {}],
  ])('%s: introspects and revokes', async (_how, body, headers) => {
    const s = await stage();
    const introspected = await s.send('/oauth/introspect', body, headers);
    expect(introspected).toMatchObject({
      status: 200,
      headers: { 'cache-control': 'no-store', pragma: 'no-cache', 'content-type': 'application/json' },
    });
    expect(JSON.parse(introspected.body)).toMatchObject({
      active: true,
      scope: 'read:all',
      client_id: 'globex-role-id',
      token_type: 'Bearer',
      [TENANT_CLAIM]: 'globex',
    });
    const revoked = await s.send('/oauth/revoke', body, headers);
    expect(revoked).toMatchObject({ status: 200, body: '', headers: { 'cache-control': 'no-store', 'content-length': '0' } });
    for (const run of [s.introspect, s.revoke])
      expect(run).toHaveBeenCalledExactlyOnceWith(
        expect.objectContaining({ tenant: 'acme', clientId: 'acme-role-id' }),
        JWT,
        expect.anything(),
      );
  });

  test('is decided again when its tenant changed meanwhile, and the audit has the last decision alone', async () => {
    const s = await stage();
    s.introspect.mockImplementationOnce(async (identity) => {
      s.generations.changed(identity.tenant);
      return TOKEN;
    });
    s.introspect.mockImplementationOnce(async () => 'disabled');
    expect(await s.send('/oauth/introspect', form(good))).toMatchObject({ status: 200, body: '{"active":false}' });
    expect(s.introspect).toHaveBeenCalledTimes(2);
    expect(s.events()).toMatchObject([{ outcome: 'disabled' }]);
  });

  test('is told the same bytes of all that is not active, and of all that was to be revoked', async () => {
    const introspected = new Set<string>();
    for (const why of ['unknown', 'foreign', 'revoked', 'disabled'] as const) {
      const s = await stage({ introspect: async () => why });
      const { status, body } = await s.send('/oauth/introspect', form(good));
      introspected.add(`${status} ${body}`);
      expect(s.events()).toMatchObject([{ outcome: why }]);
    }
    expect([...introspected]).toEqual(['200 {"active":false}']);
    const revoked = new Set<string>();
    for (const why of ['revoked', 'again', 'unknown', 'foreign'] as const) {
      const s = await stage({ revoke: async () => why });
      const { status, headers, body } = await s.send('/oauth/revoke', form(good));
      delete headers['date'];
      expect(headers['x-request-id']).toBe(s.events()[0]?.['request_id']);
      delete headers['x-request-id'];
      revoked.add(JSON.stringify([status, headers, body]));
      expect(s.events()).toMatchObject([{ outcome: why }]);
    }
    expect(revoked.size).toBe(1);
  });
});

describe.each(PATHS)('%s refuses', (path: Path) => {
  test.each<[string, string | undefined, Record<string, string>, number, string]>([
    ['no token', form(credential), {}, 400, 'invalid_request'],
    ['an empty token', form({ ...good, token: '' }), {}, 400, 'invalid_request'],
    ['two tokens', `${form(good)}&token=x`, {}, 400, 'invalid_request'],
    ['two equal hints', `${form(good)}&token_type_hint=access_token&token_type_hint=access_token`, {}, 400, 'invalid_request'],
    ['two client_ids', `${form(good)}&client_id=acme-role-id`, {}, 400, 'invalid_request'],
    [
      'a token that is not text',
      JSON.stringify({ ...credential, token: { a: 1 } }),
      { 'Content-Type': 'application/json' },
      400,
      'invalid_request',
    ],
    [
      'a token twice in JSON',
      `{"token":"a","token":"b","client_id":"acme-role-id","client_secret":"${SECRET}"}`,
      { 'Content-Type': 'application/json' },
      400,
      'invalid_request',
    ],
    ['a bad escape', `token=%zz&${form(credential)}`, {}, 400, 'invalid_request'],
    ['a NUL', `token=%00&${form(credential)}`, {}, 400, 'invalid_request'],
    ['two ways to authenticate', form(good), basic, 400, 'invalid_request'],
    ['no client', form({ token: JWT }), {}, 401, 'invalid_client'],
    ['a compressed body', form(good), { 'Content-Encoding': 'gzip' }, 415, 'unsupported_media_type'],
    ['a wrong secret', form({ ...good, client_secret: 'wrong' }), {}, 401, 'invalid_client'],
    ['a bearer token in place of a client', form({ token: JWT }), { Authorization: `Bearer ${JWT}` }, 401, 'invalid_client'],
    ['a foreign media type', form(good), { 'Content-Type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['more than 16 KiB', form({ ...good, token: 'x'.repeat(17_000) }), {}, 413, 'payload_too_large'],
  ])('%s', async (_fault, body, headers, status, error) => {
    const s = await stage();
    const reply = await s.send(path, body, headers);
    expect(reply).toMatchObject({ status, headers: { 'cache-control': 'no-store', 'content-type': 'application/json' } });
    expect(JSON.parse(reply.body)).toMatchObject({ error });
    expect(reply.headers['www-authenticate']).toBe(status === 401 ? 'Basic realm="postern", charset="UTF-8"' : undefined);
    expect([s.introspect.mock.calls, s.revoke.mock.calls]).toEqual([[], []]);
    expect(s.events()).toMatchObject([{ outcome: 'refused', error }]);
  });

  test('a token in the URI', async () => {
    const s = await stage();
    expect(await s.send(`${path}?token=${JWT}`, form(good))).toMatchObject({ status: 400 });
    expect(s.lines.join('')).not.toContain('canary-token');
  });

  test.each(['GET', 'PUT', 'DELETE', 'HEAD'])('%s', async (method) => {
    const s = await stage();
    const reply = await s.send(path, undefined, {}, method);
    expect([reply.status, reply.headers['allow']]).toEqual([405, 'POST']);
  });
});

describe('what its own room says', () => {
  test.each<[PosternError, number, string, string | undefined]>([
    [new PosternError('too_many_requests', 'Too many revocations', { retryAfter: 12 }), 429, 'too_many_requests', '12'],
    [new PosternError('temporarily_unavailable', 'away', { retryAfter: 1 }), 503, 'temporarily_unavailable', '1'],
    [new PosternError('unsupported_token_type', 'an API key'), 400, 'unsupported_token_type', undefined],
    [new PosternError('unauthorized_client', 'Client is disabled'), 403, 'unauthorized_client', undefined],
  ])('%s is answered as such', async (fault, status, error, retryAfter) => {
    const s = await stage({ revoke: () => Promise.reject(fault) });
    const reply = await s.send('/oauth/revoke', form(good));
    expect([reply.status, (JSON.parse(reply.body) as { error: string }).error, reply.headers['retry-after']]).toEqual([
      status,
      error,
      retryAfter,
    ]);
  });
});

describe('the audit', () => {
  test('tells who asked about whose token, which only as its SHA-256', async () => {
    const s = await stage({ revoke: async (_identity, _token, trace) => ((trace.token = TOKEN), (trace.api = 'orders'), 'foreign') });
    await s.send('/oauth/introspect', form(good));
    await s.send('/oauth/revoke', form(good));
    const common = {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      request_id: expect.any(String),
      address: '127.0.0.1',
      ms: expect.any(Number),
      client_id: 'acme-role-id',
      tenant: 'acme',
      token_tenant: 'globex',
      audience: 'https://orders.example.com',
      token_sha256: SHA,
    };
    expect(s.events()).toEqual([
      { ...common, event: 'token.introspection', outcome: 'active' },
      { ...common, event: 'token.revocation', outcome: 'foreign', api: 'orders' },
    ]);
  });

  test('names a client that was not verified by a digest only, and no secret whatever', async () => {
    const s = await stage();
    await s.send('/oauth/revoke', form({ ...good, client_id: SECRET, client_secret: 'canary-wrong' }));
    const [event] = s.events();
    expect(event).toMatchObject({
      outcome: 'refused',
      error: 'invalid_client',
      client_id_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      token_sha256: SHA,
    });
    expect(s.lines.join('')).not.toMatch(/canary/);
  });

  test('comes first: nothing is told of which it knows nothing', async () => {
    const s = await stage({
      write: () => {
        throw new Error('the audit is broken');
      },
    });
    for (const path of PATHS)
      expect(await s.send(path, form(good))).toMatchObject({ status: 503, body: expect.not.stringContaining('active') });
  });
});
