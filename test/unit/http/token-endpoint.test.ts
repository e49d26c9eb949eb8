import { afterEach, describe, expect, test, vi } from 'vitest';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { tokenEndpoint } from '#broker/http/token-endpoint.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange } from '#broker/token/exchange.ts';
import { Token } from '#broker/token/token.ts';
import { grantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

const NOW = 1_800_000_000_000;
const JWT = 'eyJhbGciOiJSUzI1NiJ9.canary-token.signature';
const SECRET = 'canary-client-secret';
const served: Served = {
  token: new Token(JWT, 'read:all', NOW / 1000, NOW / 1000 + 3600),
  from: 'memory',
  grant: await grantOf(),
};

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

type Run = Exchange['run'];

async function stage(outcome: Run = () => served) {
  const run = vi.fn<Run>(outcome);
  const lines: string[] = [];
  const write = vi.fn<(line: string) => void>((line) => lines.push(line));
  const clock = { now: NOW };
  const server = new HttpServer({
    routes: [tokenEndpoint({ exchange: { run }, audit: { write }, now: () => clock.now })],
    errors: 'auth0',
  });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  const post = async (body: string, headers: Record<string, string> = {}, path = '/oauth/token') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      body,
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  const events = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { run, post, events, lines, clock, write };
}

const form = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString();
const good = { grant_type: 'client_credentials', client_id: 'acme-role-id', client_secret: SECRET, audience: 'https://orders.example.com' };

describe('a token', () => {
  test.each<[string, string, Record<string, string>]>([
    ['form, post', form(good), {}],
    ['JSON, post', JSON.stringify(good), { 'Content-Type': 'application/json' }],
    [
      'form, Basic',
      form({ grant_type: 'client_credentials', audience: good.audience }),
      { Authorization: `Basic ${Buffer.from(`acme-role-id:${SECRET}`).toString('base64')}` },
    ],
    [
      'JSON, Basic',
      JSON.stringify({ grant_type: 'client_credentials', audience: good.audience }),
      { 'Content-Type': 'application/json', Authorization: `Basic ${Buffer.from(`acme-role-id:${SECRET}`).toString('base64')}` },
    ],
  ])('%s: as Auth0 answers, stored by nobody', async (_how, body, headers) => {
    const s = await stage();
    const reply = await s.post(body, headers);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({ access_token: JWT, scope: 'read:all', token_type: 'Bearer', expires_in: 3600 });
    expect(Object.fromEntries(reply.headers)).toMatchObject({
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'content-type': 'application/json',
      'content-length': String(reply.body.length),
    });
    const [credential, request, address] = s.run.mock.calls[0] ?? [];
    expect([credential?.clientId, credential?.reveal(), address]).toEqual(['acme-role-id', SECRET, '127.0.0.1']);
    expect(request).toEqual({ audience: good.audience, scope: undefined, organization: undefined });
  });

  test('expires_in is the truth at the time of the reply, not of the issue', async () => {
    const s = await stage();
    s.clock.now = NOW + 1_234_567;
    expect(JSON.parse((await s.post(form(good))).body)).toMatchObject({ expires_in: 2365 });
  });

  test('scope and organization are handed on; a parameter without a value counts as left out', async () => {
    const s = await stage();
    await s.post(form({ ...good, audience: '', scope: 'read:all x', organization: 'org_1', resource: '', postern_tenant: 'globex' }));
    expect(s.run.mock.calls[0]?.[1]).toEqual({ audience: undefined, scope: 'read:all x', organization: 'org_1' });
  });
});

describe('resource (RFC 8707)', () => {
  const target = 'https://orders.example.com';

  test.each<[string, string]>([
    ['alone', form({ ...good, audience: '', resource: target })],
    ['with the same audience', form({ ...good, resource: target })],
    ['twice the same', `${form({ ...good, audience: '', resource: target })}&resource=${encodeURIComponent(target)}`],
  ])('%s names the API', async (_how, body) => {
    const s = await stage();
    expect((await s.post(body)).status).toBe(200);
    expect(s.run.mock.calls[0]?.[1].audience).toBe(target);
  });

  test.each<[string, string]>([
    ['two of them', `${form({ ...good, resource: target })}&resource=https%3A%2F%2Fother.example.com`],
    ['another audience', form({ ...good, resource: 'https://other.example.com' })],
    ['a fragment', form({ ...good, audience: '', resource: `${target}#x` })],
    ['an empty fragment', form({ ...good, audience: '', resource: `${target}#` })],
    ['a relative one', form({ ...good, audience: '', resource: '/orders' })],
    ['no host', form({ ...good, audience: '', resource: 'https://' })],
    ['a space', form({ ...good, audience: '', resource: `${target}/a b` })],
    ['a bad escape', form({ ...good, audience: '', resource: `${target}/%zz` })],
    ['no ASCII', form({ ...good, audience: '', resource: `${target}/é` })],
    ['a name', form({ ...good, audience: '', resource: 'orders' })],
  ])('%s is invalid_target', async (_fault, body) => {
    const s = await stage();
    const reply = await s.post(body);
    expect([reply.status, JSON.parse(reply.body)]).toMatchObject([400, { error: 'invalid_target' }]);
    expect(s.run).not.toHaveBeenCalled();
  });

  test.each<[string, () => Promise<never>]>([
    ['at once', () => expect.unreachable()],
    ['after a while', () => Promise.reject(new PosternError('access_denied', 'no'))],
  ])('one that this client gets no token for, %s: invalid_target, and for an audience the word of Auth0', async (how, later) => {
    const s = await stage(() => {
      if (how !== 'at once') return later();
      throw new PosternError('access_denied', 'no');
    });
    const error = async (body: string) => (JSON.parse((await s.post(body)).body) as { error: string }).error;
    expect(await error(form({ ...good, audience: '', resource: target }))).toBe('invalid_target');
    expect(await error(form(good))).toBe('access_denied');
    expect(s.events().map((event) => event['error'])).toEqual(['invalid_target', 'access_denied']);
  });
});

describe("a body's headers", () => {
  test.each(['identity', 'IDENTITY', ''])('Content-Encoding %j is none', async (coding) => {
    const s = await stage();
    expect((await s.post(form(good), { 'Content-Encoding': coding })).status).toBe(200);
  });

  test.each(['gzip', 'deflate', 'br', 'zstd', 'x-gzip', 'identity, gzip', 'gzip, identity', 'nonsense'])(
    '%s is 415, with what is taken',
    async (coding) => {
      const s = await stage();
      const reply = await s.post(form(good), { 'Content-Encoding': coding });
      expect([reply.status, reply.headers.get('accept-encoding')]).toEqual([415, 'identity']);
      expect(s.run).not.toHaveBeenCalled();
    },
  );

  test.each<Record<string, string>>([
    { 'Content-Type': 'text/plain' },
    { 'Content-Encoding': 'gzip' },
    { 'Content-Type': 'application/json' },
  ])('without content %j means nothing', async (headers) => {
    const s = await stage();
    expect(JSON.parse((await s.post('', headers)).body)).toMatchObject({ error_description: 'Missing required parameter: grant_type' });
  });
});

describe('refused before anybody is asked', () => {
  test.each<[string, string, Record<string, string>, string, number, string]>([
    ['no grant_type', form({ ...good, grant_type: '' }), {}, '', 400, 'invalid_request'],
    ['another grant', form({ ...good, grant_type: 'authorization_code' }), {}, '', 400, 'unsupported_grant_type'],
    ['the grant in other case', form({ ...good, grant_type: 'CLIENT_CREDENTIALS' }), {}, '', 400, 'unsupported_grant_type'],
    ['the grant padded', form({ ...good, grant_type: 'client_credentials ' }), {}, '', 400, 'unsupported_grant_type'],
    ['no credential', form({ grant_type: 'client_credentials' }), {}, '', 400, 'invalid_request'],
    ['no secret', form({ grant_type: 'client_credentials', client_id: 'a' }), {}, '', 401, 'access_denied'],
    [
      'a credential in the URI',
      form({ grant_type: 'client_credentials' }),
      {},
      `?client_id=a&client_secret=${SECRET}`,
      400,
      'invalid_request',
    ],
    ['an empty query', form(good), {}, '?', 400, 'invalid_request'],
    [
      'two methods of client authentication',
      form(good),
      { Authorization: `Basic ${Buffer.from(`acme-role-id:${SECRET}`).toString('base64')}` },
      '',
      400,
      'invalid_request',
    ],
    ['a repeated audience', `${form(good)}&audience=x`, {}, '', 400, 'invalid_request'],
    ['a repeated secret', `${form(good)}&client_secret=x`, {}, '', 400, 'invalid_request'],
    ['a compressed body', form(good), { 'Content-Encoding': 'gzip' }, '', 415, 'unsupported_media_type'],
    ['a body of no known type', form(good), { 'Content-Type': 'text/plain' }, '', 415, 'unsupported_media_type'],
    ['nothing', '', {}, '', 400, 'invalid_request'],
  ])('%s', async (_fault, body, headers, query, status, error) => {
    const s = await stage();
    const reply = await s.post(body, headers, `/oauth/token${query}`);
    expect([reply.status, (JSON.parse(reply.body) as { error: string }).error]).toEqual([status, error]);
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.body).not.toContain('canary');
    expect(s.run).not.toHaveBeenCalled();
    expect(s.events()).toHaveLength(1);
    expect(s.lines.join()).not.toContain('canary');
  });
});

describe('the audit', () => {
  test('of a granted exchange: who, what, how long, and the token as its SHA-256', async () => {
    const grant = await grantOf();
    // As the cache does: one object a grant.
    const own: Served = { ...served, grant };
    const s = await stage((_credential, _request, _address, trace) => {
      trace.identity = identityOf();
      trace.grant = grant;
      return own;
    });
    await s.post(form(good));
    await s.post(form(good));
    for (const event of s.events()) {
      expect(event).toEqual({
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        event: 'token.exchange',
        outcome: 'granted',
        door: 'token',
        request_id: expect.any(String),
        address: '127.0.0.1',
        ms: expect.any(Number),
        expires_in: 3600,
        client_id: 'acme-role-id',
        tenant: 'acme',
        api: 'orders',
        audience: 'https://orders.example.com',
        scope: 'read:all',
        source: 'memory',
        token_sha256: served.token.sha256,
      });
    }
    expect(s.lines).toHaveLength(2);
    expect(s.lines.join()).not.toContain('canary');
  });

  test('of a wrong credential: the client_id only as its SHA-256, for it may be a secret in the wrong field', async () => {
    const s = await stage(() => Promise.reject(wrongCredential()));
    await s.post(form({ ...good, client_id: 'canary-secret-in-the-wrong-field' }));
    expect(s.events()).toEqual([
      expect.objectContaining({ outcome: 'refused', error: 'invalid_client', client_id_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }),
    ]);
    expect(s.lines.join()).not.toMatch(/canary|orders\.example/);
  });

  test('of a verified client that may not: who it was and what it wanted, not at length', async () => {
    const s = await stage((_credential, _request, _address, trace) => {
      trace.identity = identityOf();
      return Promise.reject(new PosternError('access_denied', 'no', { detail: 'canary-detail' }));
    });
    await s.post(form({ ...good, audience: `https://x/"\n${'a'.repeat(5000)}` }));
    const [event] = s.events();
    expect(event).toMatchObject({ outcome: 'refused', error: 'access_denied', client_id: 'acme-role-id', tenant: 'acme' });
    expect(event).not.toHaveProperty('client_id_sha256');
    expect(String(event?.['audience'])).toHaveLength(256);
    expect(s.lines[0]?.match(/\n/g)).toHaveLength(1);
    expect(s.lines.join()).not.toContain('canary');
  });

  test('of a fault of our own: internal, without its message', async () => {
    const s = await stage(() => {
      throw new Error('canary');
    });
    const reply = await s.post(form(good));
    expect(reply.status).toBe(503);
    expect(s.events()).toEqual([expect.objectContaining({ outcome: 'refused', error: 'internal' })]);
    expect(s.lines.join() + reply.body).not.toContain('canary');
  });

  test('that cannot be written: no token goes out unseen, and the broker goes on', async () => {
    const s = await stage();
    s.write.mockImplementation(() => {
      throw new Error('disk full');
    });
    const reply = await s.post(form(good));
    expect(reply.status).toBe(503);
    expect(reply.body).not.toContain('canary');
    s.write.mockImplementation(() => {});
    expect((await s.post(form(good))).status).toBe(200);
  });
});

describe('a token exchange (RFC 8693)', () => {
  const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
  const subject = {
    grant_type: EXCHANGE,
    subject_token: 'hvs.canary-subject',
    subject_token_type: 'urn:postern:params:oauth:token-type:vault-token',
    audience: good.audience,
  };

  test('hands the subject token on, and names the type of what is issued', async () => {
    const s = await stage();
    const reply = await s.post(form(subject));
    expect(JSON.parse(reply.body)).toEqual({
      access_token: JWT,
      scope: 'read:all',
      token_type: 'Bearer',
      expires_in: 3600,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    });
    expect(reply.headers.get('content-length')).toBe(String(reply.body.length));
    const [credential, request] = s.run.mock.calls[0] ?? [];
    expect([credential?.clientId, credential?.reveal(), String(credential), JSON.stringify(credential)]).toEqual([
      undefined,
      'hvs.canary-subject',
      'Vault token [redacted]',
      '"Vault token [redacted]"',
    ]);
    expect(request).toEqual({ audience: good.audience, scope: undefined, organization: undefined });
    expect(s.events()).toEqual([expect.objectContaining({ door: 'exchange', outcome: 'granted' })]);
    expect(s.lines.join()).not.toContain('canary');
  });

  test('the client_id goes along, to be compared before anything is issued', async () => {
    const s = await stage();
    await s.post(form({ ...subject, client_id: 'acme-role-id' }));
    await s.post(form({ ...subject, client_id: '' }));
    expect(s.run.mock.calls.map(([, request]) => request.clientId)).toEqual(['acme-role-id', undefined]);
  });

  test.each([
    ['access_denied', 400, 'invalid_target'],
    ['invalid_scope', 400, 'invalid_scope'],
    ['invalid_request', 400, 'invalid_request'],
    ['unauthorized_client', 403, 'unauthorized_client'],
    ['too_many_requests', 429, 'too_many_requests'],
    ['temporarily_unavailable', 503, 'temporarily_unavailable'],
  ] as const)('%s becomes %d %s', async (code, status, error) => {
    const s = await stage(() => Promise.reject(new PosternError(code, 'no')));
    const reply = await s.post(form(subject));
    expect([reply.status, (JSON.parse(reply.body) as { error: string }).error]).toEqual([status, error]);
    expect(s.events()).toEqual([
      expect.objectContaining({ door: 'exchange', outcome: 'refused', error: error === 'invalid_target' ? 'invalid_target' : code }),
    ]);
    expect(s.lines.join() + reply.body).not.toContain('canary');
  });

  test.each(['subject_token', 'subject_token_type', 'actor_token', 'requested_token_type', 'resource'])(
    '%s that is not a string in JSON, or repeated',
    async (name) => {
      const s = await stage();
      for (const value of [7, ['x'], { a: 1 }, true]) {
        const reply = await s.post(JSON.stringify({ ...subject, [name]: value }), { 'Content-Type': 'application/json' });
        expect([reply.status, (JSON.parse(reply.body) as { error: string }).error]).toEqual([400, 'invalid_request']);
      }
      expect((await s.post(`${form(subject)}&${name}=a&${name}=b`)).status).toBe(400);
      expect(s.run).not.toHaveBeenCalled();
    },
  );
});

describe('of a limited client', () => {
  const fields = ['RateLimit-Policy', '"tenant-second";q=5;w=1', 'RateLimit', '"tenant-second";r=4;t=1'];

  test('a token says what is left, and so does each refusal', async () => {
    const good_ = await stage((_credential, _request, _address, trace) => {
      trace.admission = { exhausted: undefined, fields };
      return served;
    });
    const reply = await good_.post(form(good));
    expect([reply.status, reply.headers.get('ratelimit-policy'), reply.headers.get('ratelimit')]).toEqual([200, fields[1], fields[3]]);
    const refused_ = await stage((_credential, _request, _address, trace) => {
      trace.admission = { exhausted: undefined, fields };
      throw new PosternError('limit_exceeded', 'Too many requests: this client may send 5 a second', { retryAfter: 1 });
    });
    const refusal = await refused_.post(form(good));
    expect([refusal.status, refusal.headers.get('retry-after'), refusal.headers.get('ratelimit')]).toEqual([429, '1', fields[3]]);
    expect(JSON.parse(refusal.body)).toEqual({
      error: 'too_many_requests',
      error_description: 'Too many requests: this client may send 5 a second',
    });
    expect(refused_.events()).toMatchObject([{ outcome: 'refused', error: 'limit_exceeded' }]);
  });

  test('one that is not limited hears of no limit', async () => {
    const s = await stage();
    const { headers } = await s.post(form(good));
    expect([headers.has('ratelimit'), headers.has('ratelimit-policy')]).toEqual([false, false]);
  });
});
