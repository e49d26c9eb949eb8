import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import type { ErrorCode } from '#broker/error.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { verifyRoutes } from '#broker/http/verify.ts';
import type { Exchange } from '#broker/token/exchange.ts';
import { Token } from '#broker/token/token.ts';
import { sendBytes } from '#test/fixture/wire.ts';
import { grantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

const NOW = 1_800_000_000_000;
const JWT = 'eyJhbGciOiJSUzI1NiJ9.canary-token.signature';
const ROLE = randomUUID();
const KEY = ApiKey.format('test', ROLE, randomUUID());
const WHERE = '/verify?audience=https://orders.example.com&scope=read:all';

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

type Run = Exchange['run'];

async function stage({ outcome, scope = 'read:all write:all' }: { outcome?: Run; scope?: string } = {}) {
  const grant = await grantOf();
  const served = { token: new Token(JWT, scope, NOW / 1000, NOW / 1000 + 3600), from: 'memory' as const, grant };
  const run = vi.fn<Run>(
    outcome ??
      ((_credential, _request, _address, trace) => {
        trace.identity = identityOf();
        trace.grant = grant;
        return served;
      }),
  );
  const lines: string[] = [];
  const server = new HttpServer({
    routes: verifyRoutes({ exchange: { run }, audit: { write: (line) => void lines.push(line) }, now: () => NOW }),
    errors: 'auth0',
  });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  const ask = (
    target: string = WHERE,
    headers: Record<string, string> = { Authorization: `Bearer ${KEY}` },
    method = 'GET',
  ): Promise<{ status: number; headers: Record<string, unknown>; body: string }> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port, path: target, method, headers, agent: false }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      });
      request.on('error', reject);
      request.end();
    });
  return { port, run, ask, lines, events: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const fails =
  (code: ErrorCode, retryAfter?: number): Run =>
  () => {
    throw new PosternError(code, 'canary-description', { detail: 'canary-detail', ...(retryAfter === undefined ? {} : { retryAfter }) });
  };

describe('a good key', () => {
  test('is answered with what the service is to be sent, and stored by nobody', async () => {
    const s = await stage();
    const reply = await s.ask();
    expect([reply.status, reply.body]).toEqual([200, '']);
    expect(reply.headers).toMatchObject({
      authorization: `Bearer ${JWT}`,
      'x-postern-tenant': 'acme',
      'x-postern-scope': 'read:all write:all',
      'cache-control': 'no-store',
      'content-length': '0',
    });
    expect(s.run.mock.calls[0]?.[0].clientId).toBe(ROLE);
    expect(s.run.mock.calls[0]?.[1]).toEqual({ audience: 'https://orders.example.com', scope: undefined, organization: undefined });
    expect(s.events()).toEqual([
      expect.objectContaining({ outcome: 'granted', door: 'verify', tenant: 'acme', source: 'memory', expires_in: 3600 }),
    ]);
    expect(s.lines.join()).not.toContain('canary-token');
  });

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])(
    "by %s, as gateways hand on their client's method",
    async (method) => {
      const s = await stage();
      expect((await s.ask(WHERE, { 'X-API-Key': KEY }, method)).status).toBe(200);
    },
  );

  test("by the path that a gateway's client goes on", async () => {
    const s = await stage();
    expect(
      (await s.ask('/verify/audience/https%3A%2F%2Forders.example.com/scope/read:all/-/x/../../audience/evil/-/?audience=evil')).status,
    ).toBe(200);
    expect(s.run.mock.calls[0]?.[1].audience).toBe('https://orders.example.com');
  });

  test('after a promise, as at once', async () => {
    const grant = await grantOf();
    const s = await stage({
      outcome: async (_credential, _request, _address, trace) => {
        trace.grant = grant;
        return { token: new Token(JWT, 'read:all', NOW / 1000, NOW / 1000 + 60), from: 'source', grant };
      },
    });
    expect((await s.ask()).headers).toMatchObject({ authorization: `Bearer ${JWT}`, 'x-postern-scope': 'read:all' });
  });
});

describe('a body is not read', () => {
  const head = `POST ${WHERE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\n`;

  test('Content-Length without a body, as a careless gateway sends it: answered at once, and what follows is not a request', async () => {
    const s = await stage();
    const begun = Date.now();
    const { replies, hung } = await sendBytes(s.port, Buffer.from(`${head}Content-Length: 200\r\n\r\n${head}\r\n`));
    expect(hung).toBe(false);
    expect(replies.map(({ status }) => status)).toEqual([200]);
    expect(replies[0]?.headers['connection']).toBe('close');
    expect(Date.now() - begun).toBeLessThan(2_000);
    expect(s.run).toHaveBeenCalledTimes(1);
  });

  test.each<[string, string]>([
    ['with its length', `Content-Length: 5\r\n\r\nhello`],
    ['in chunks', `Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`],
    ['of megabytes', `Content-Length: 4000000\r\n\r\n${'a'.repeat(4_000_000)}`],
  ])('%s: answered all the same', async (_how, rest) => {
    const s = await stage();
    const { replies, hung } = await sendBytes(s.port, Buffer.from(head + rest));
    expect(hung).toBe(false);
    expect(replies.map(({ status }) => status)).toEqual([200]);
  });

  test('without one the connection goes on', async () => {
    const s = await stage();
    const { replies } = await sendBytes(
      s.port,
      Buffer.from(`${head}Content-Length: 0\r\n\r\nGET /verify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
      { ending: 'fin' },
    );
    expect(replies.map(({ status }) => status)).toEqual([200, 400]);
  });

  test("a refusal keeps a gateway's connection too", async () => {
    const s = await stage();
    const { replies } = await sendBytes(
      s.port,
      Buffer.from(`GET ${WHERE} HTTP/1.1\r\nHost: x\r\n\r\nGET ${WHERE} HTTP/1.1\r\nHost: x\r\n\r\n`),
      { ending: 'fin' },
    );
    expect(replies.map(({ status, headers }) => [status, headers['connection']])).toEqual([
      [401, 'keep-alive'],
      [401, 'keep-alive'],
    ]);
  });
});

describe('RFC 6750 §3', () => {
  test('nothing was sent: 401, and a challenge without an error', async () => {
    const s = await stage();
    const reply = await s.ask(WHERE, {});
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, 'Bearer realm="postern", scope="read:all"']);
    expect(s.run).not.toHaveBeenCalled();
    expect(s.events()).toEqual([expect.objectContaining({ outcome: 'refused', door: 'verify', error: 'invalid_token' })]);
  });

  test('no scope is required: none is told', async () => {
    const s = await stage();
    expect((await s.ask('/verify?audience=x', {})).headers['www-authenticate']).toBe('Bearer realm="postern"');
  });

  test('a mistyped key and a wrong one look the same: 401 invalid_token', async () => {
    const s = await stage({ outcome: () => Promise.reject(wrongCredential()) });
    const [mistyped, wrong] = [await s.ask(WHERE, { 'X-API-Key': `${KEY.slice(0, -1)}_` }), await s.ask()];
    expect(s.run).toHaveBeenCalledTimes(1);
    expect(mistyped.status).toBe(401);
    expect(mistyped.headers['www-authenticate']).toBe(
      'Bearer realm="postern", scope="read:all", error="invalid_token", error_description="The API key is not valid"',
    );
    expect([mistyped.status, mistyped.body, mistyped.headers['www-authenticate']]).toEqual([
      wrong.status,
      wrong.body,
      wrong.headers['www-authenticate'],
    ]);
  });

  test('a scope is missing: 403 insufficient_scope with what is required, and no token', async () => {
    const s = await stage({ scope: 'read:all' });
    const reply = await s.ask('/verify?audience=x&scope=write:all+read:all');
    expect(reply.status).toBe(403);
    expect(reply.headers['www-authenticate']).toMatch(
      /^Bearer realm="postern", scope="read:all write:all", error="insufficient_scope", error_description="[^"\\]+"$/,
    );
    expect(JSON.stringify(reply)).not.toContain(JWT);
    expect(reply.headers).not.toHaveProperty('x-postern-tenant');
    expect(s.events()).toEqual([expect.objectContaining({ outcome: 'refused', error: 'insufficient_scope', tenant: 'acme' })]);
  });

  test('a scope is the whole word', async () => {
    const s = await stage({ scope: 'read:all' });
    for (const scope of ['read', 'read:al', 'read:all2', 'READ:ALL', 'ead:all'])
      expect((await s.ask(`/verify?audience=x&scope=${scope}`)).status).toBe(403);
  });

  test('two credentials: 400 invalid_request', async () => {
    const s = await stage();
    const reply = await s.ask(WHERE, { Authorization: `Bearer ${KEY}`, 'X-API-Key': ApiKey.format('test', randomUUID(), randomUUID()) });
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([400, expect.stringContaining('error="invalid_request"')]);
    expect(s.run).not.toHaveBeenCalled();
  });

  test.each<[ErrorCode, number, string]>([
    ['invalid_client', 401, 'invalid_token'],
    ['invalid_grant', 401, 'invalid_token'],
    ['access_denied', 403, 'insufficient_scope'],
    ['unauthorized_client', 403, 'insufficient_scope'],
    ['invalid_scope', 403, 'insufficient_scope'],
  ])('%s of an exchange is %i %s, in words of this door', async (code, status, error) => {
    const s = await stage({ outcome: fails(code) });
    const reply = await s.ask();
    expect(reply.status).toBe(status);
    expect(reply.headers['www-authenticate']).toContain(`error="${error}"`);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(JSON.parse(reply.body)).toMatchObject({ error });
    expect(JSON.stringify(reply)).not.toContain('canary');
  });

  test.each<[ErrorCode, number | undefined, number, string]>([
    ['too_many_requests', 7, 429, '7'],
    ['temporarily_unavailable', 3, 503, '3'],
    ['temporarily_unavailable', undefined, 503, '5'],
    ['misconfigured', undefined, 503, '5'],
  ])('%s: nobody can know now, so no challenge but Retry-After', async (code, retryAfter, status, told) => {
    const s = await stage({ outcome: fails(code, retryAfter) });
    const reply = await s.ask();
    expect([reply.status, reply.headers['retry-after']]).toEqual([status, told]);
    expect(reply.headers).not.toHaveProperty('www-authenticate');
    expect(JSON.stringify(reply)).not.toContain('canary-detail');
  });

  test('an error of another package: 503, without a word of it', async () => {
    const s = await stage({ outcome: () => Promise.reject(new Error('canary')) });
    const reply = await s.ask();
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1']);
    expect(JSON.stringify(reply)).not.toContain('canary');
  });

  test('a malformed stored token: 503, and those who were answered in the same turn get their answer', async () => {
    const grant = await grantOf();
    let broken = false;
    const s = await stage({
      outcome: (_credential, _request, _address, trace) => {
        trace.grant = grant;
        broken = !broken;
        return { token: new Token(broken ? 'canary\r\nX-Evil: 1' : JWT, 'read:all', NOW / 1000, NOW / 1000 + 60), from: 'store', grant };
      },
    });
    const replies = await Promise.all(Array.from({ length: 10 }, () => s.ask()));
    expect(replies.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 200, 200, 503, 503, 503, 503, 503]);
    expect(JSON.stringify(replies)).not.toContain('canary\\r');
    for (const { headers } of replies) expect(headers).not.toHaveProperty('x-evil');
  });

  test('a gateway whose own address of /verify is wrong lets nobody through', async () => {
    const s = await stage();
    for (const target of [
      '/verify',
      '/verify?audience=',
      '/verify?audience=a&tenant=b',
      '/verify/',
      '/verify/audience/a',
      '/verify?audience=a&scope=',
    ])
      expect((await s.ask(target)).status).toBe(400);
    expect(s.run).not.toHaveBeenCalled();
  });
});

describe('the key of a limited client', () => {
  const fields = ['RateLimit-Policy', '"key-minute";q=5;w=60', 'RateLimit', '"key-minute";r=0;t=60'];

  test('is told what is left, and 429 when nothing is', async () => {
    const grant = await grantOf();
    let left = 1;
    const s = await stage({
      outcome: (_credential, _request, _address, trace) => {
        trace.admission = { exhausted: undefined, fields };
        if (left-- > 0) return { token: new Token(JWT, 'read:all', NOW / 1000, NOW / 1000 + 3600), from: 'memory', grant };
        throw new PosternError('limit_exceeded', 'Too many requests: this API key may send 5 a minute', { retryAfter: 60 });
      },
    });
    const good = await s.ask();
    expect([good.status, good.headers['ratelimit'], good.headers['ratelimit-policy']]).toEqual([200, fields[3], fields[1]]);
    const refused = await s.ask();
    expect([refused.status, refused.headers['retry-after'], refused.headers['ratelimit']]).toEqual([429, '60', fields[3]]);
    expect(JSON.parse(refused.body)).toMatchObject({ error: 'too_many_requests' });
  });
});
