import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import type { ErrorCode, ErrorDialect } from '#broker/error.ts';
import { NOTHING, parseBody, receiveBody } from '#broker/http/body.ts';
import { replyJson } from '#broker/http/reply.ts';
import type { Call, Route } from '#broker/http/route.ts';
import { ofNode } from '#broker/http/route.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import type { HttpServerOptions } from '#broker/http/http-server.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';
import { sendBytes } from '#test/fixture/wire.ts';
import type { WireOptions } from '#test/fixture/wire.ts';

interface Stage {
  port: number;
  server: HttpServer;
  /** What reached a handler. */
  seen: { path: string; address: string; body: string }[];
  told: { error: unknown; method: string; path: string; address: string }[];
  /** What the POST handler does after it has read its body. */
  behave: { post: (call: Call) => void | Promise<void> };
}

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

async function stage(options: Partial<HttpServerOptions> = {}): Promise<Stage> {
  const seen: Stage['seen'] = [];
  const told: Stage['told'] = [];
  const behave: Stage['behave'] = { post: (call) => replyJson(call, 200, '{"ok":true}') };
  const routes: Route[] = [
    {
      path: '/oauth/token',
      method: 'POST',
      async handle(call) {
        const received = { call, body: NOTHING };
        await receiveBody(received);
        const { body } = received;
        parseBody(call.request.headers['content-type'], body);
        seen.push({ path: '/oauth/token', address: call.address, body: body.toString() });
        await behave.post(call);
      },
    },
    {
      path: '/livez',
      method: 'GET',
      handle(call) {
        seen.push({ path: '/livez', address: call.address, body: '' });
        replyJson(call, 200, '{"status":"alive"}');
      },
    },
  ];
  const server = new HttpServer({ routes, errors: 'auth0', onError: (error, request) => told.push({ error, ...request }), ...options });
  open.push(server);
  return { port: await server.listen('127.0.0.1', 0), server, seen, told, behave };
}

interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** By Node's own client. */
function send(port: number, options: RequestOptions & { body?: string | Buffer } = {}): Promise<Reply> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, agent: false, ...rest }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const raw = (port: number, text: string, options?: WireOptions) => sendBytes(port, Buffer.from(text, 'latin1'), options);

/** An OAuth error that nobody stores. */
function expectError(
  { status, headers, body }: { status: number; headers: IncomingHttpHeaders | Readonly<Record<string, string>>; body: string },
  expected: number,
): void {
  expect(status).toBe(expected);
  expect(headers['content-type']).toBe('application/json');
  expect(headers['cache-control']).toBe('no-store');
  expect(JSON.parse(body)).toEqual({
    error: expect.stringMatching(/^[a-z_]+$/),
    error_description: expect.stringMatching(/^[\x20-\x7e]+$/),
  });
}

async function alive(port: number): Promise<void> {
  expect((await send(port, { path: '/livez' })).status).toBe(200);
}

describe('an error body', () => {
  const codes: [ErrorCode, number, string][] = [
    ['invalid_request', 400, 'invalid_request'],
    ['unsupported_grant_type', 400, 'unsupported_grant_type'],
    ['invalid_scope', 400, 'invalid_scope'],
    ['invalid_client', 401, 'access_denied'],
    ['no_client', 400, 'invalid_request'],
    ['unauthorized_client', 403, 'unauthorized_client'],
    ['access_denied', 403, 'access_denied'],
    ['too_many_requests', 429, 'too_many_requests'],
    ['temporarily_unavailable', 503, 'temporarily_unavailable'],
    ['misconfigured', 503, 'temporarily_unavailable'],
  ];
  test.each(codes)("%s is %i %s, in Auth0's dialect", async (code, status, name) => {
    const s = await stage();
    s.behave.post = () => {
      throw new PosternError(code, 'said aloud', { detail: 'canary-detail', retryAfter: 7 });
    };
    const reply = await send(s.port, { method: 'POST', path: '/oauth/token', headers: FORM, body: 'a=1' });
    expectError(reply, status);
    expect(JSON.parse(reply.body)).toEqual({ error: name, error_description: 'said aloud' });
    expect(reply.headers).toMatchObject({ pragma: 'no-cache', 'retry-after': '7' });
    expect(JSON.stringify(reply)).not.toContain('canary');
    expect(reply.headers).not.toHaveProperty('www-authenticate');
  });

  test.each([
    [0.2, '1'],
    [1e300, '2678400'],
    [Infinity, '2678400'],
    [-3, '0'],
    [Number.NaN, undefined],
  ])('tells %d seconds as a whole number, of a month at most', async (retryAfter, told) => {
    const s = await stage();
    s.behave.post = () => {
      throw new PosternError('temporarily_unavailable', 'not yet', { retryAfter });
    };
    const reply = await send(s.port, { method: 'POST', path: '/oauth/token', headers: FORM, body: 'a=1' });
    expect(reply.headers['retry-after']).toBe(told);
  });

  test.each(['invalid_client', 'no_client'] as const)("RFC 6749's dialect says invalid_client of %s", async (code) => {
    const s = await stage({ errors: 'rfc6749' });
    s.behave.post = () => {
      throw new PosternError(code, 'Unauthorized');
    };
    const reply = await send(s.port, { method: 'POST', path: '/oauth/token', headers: FORM, body: 'a=1' });
    expect([reply.status, reply.body]).toEqual([401, '{"error":"invalid_client","error_description":"Unauthorized"}']);
    expect(reply.headers).not.toHaveProperty('retry-after');
  });

  test.each<[ErrorDialect, Record<string, string>]>([
    ['rfc6749', {}],
    ['rfc6749', { Authorization: 'Basic YTpi' }],
    ['auth0', { Authorization: 'Basic YTpi' }],
  ])('401 in the dialect of %s tells the scheme (RFC 9110 §15.5.2): %j', async (errors, sent) => {
    const s = await stage({ errors });
    s.behave.post = () => {
      throw new PosternError('invalid_client', 'Unauthorized');
    };
    const reply = await send(s.port, {
      method: 'POST',
      path: '/oauth/token',
      headers: { ...FORM, ...sent },
      body: 'a=1',
    });
    expect(reply.headers['www-authenticate']).toBe('Basic realm="postern", charset="UTF-8"');
  });

  test.each<[string, () => void]>([
    [
      'an error of another package',
      () => {
        throw Object.assign(new Error('canary'), { config: { headers: { 'X-Vault-Token': 'canary' } } });
      },
    ],
    [
      'a string',
      () => {
        // oxlint-disable-next-line typescript/only-throw-error
        throw 'canary';
      },
    ],
    [
      'nothing',
      () => {
        // oxlint-disable-next-line typescript/only-throw-error
        throw undefined;
      },
    ],
  ])('%s that is thrown: 503 without a word of it, and the broker goes on', async (_what, post) => {
    const s = await stage();
    s.behave.post = post;
    const reply = await send(s.port, { method: 'POST', path: '/oauth/token', headers: FORM, body: 'a=1' });
    expectError(reply, 503);
    expect(JSON.stringify(reply)).not.toContain('canary');
    await alive(s.port);
  });

  test('an error after the reply has begun breaks the connection off, and is not a second reply', async () => {
    const s = await stage();
    s.behave.post = (call) => {
      const { response } = ofNode(call);
      response.writeHead(200, { 'Content-Length': '10' });
      response.write('12345');
      throw new Error('late');
    };
    await expect(send(s.port, { method: 'POST', path: '/oauth/token', headers: FORM, body: 'a=1' })).rejects.toThrow();
    await alive(s.port);
  });
});

describe('routes', () => {
  test.each(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND'])(
    '%s /oauth/token is 405 with Allow',
    async (method) => {
      const s = await stage();
      const reply = await send(s.port, { method, path: '/oauth/token' });
      if (method === 'HEAD') expect([reply.status, reply.body]).toEqual([405, '']);
      else expectError(reply, 405);
      expect(reply.headers.allow).toBe('POST');
    },
  );

  test('POST to a GET route is 405 with Allow', async () => {
    const s = await stage();
    expect((await send(s.port, { method: 'POST', path: '/livez' })).headers.allow).toBe('GET, HEAD');
  });

  test('HEAD of a GET route has the headers and no body', async () => {
    const s = await stage();
    const reply = await send(s.port, { method: 'HEAD', path: '/livez' });
    expect([reply.status, reply.body, reply.headers['content-length']]).toEqual([200, '', '18']);
  });

  test.each([
    '/',
    '/oauth',
    '/oauth/token/',
    '//oauth/token',
    '/oauth//token',
    '/OAUTH/TOKEN',
    '/oauth/token%00',
    '/oauth/%74oken',
    '/./oauth/token',
    '/x/../oauth/token',
    '/oauth/token;a=b',
    '/oauth/token#x',
    '/__proto__',
    '/constructor',
  ])('%s is 404', async (path) => {
    const s = await stage();
    expectError(
      (await raw(s.port, `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)).replies[0] ?? {
        status: 0,
        headers: {},
        body: '{}',
      },
      404,
    );
    expect(s.seen).toEqual([]);
  });

  test.each(['http://127.0.0.1/livez', 'http://evil.example.com/livez', 'http://x:1/livez?token=canary'])(
    'the absolute target %s is taken for its path alone (RFC 9112 §3.2.2)',
    async (target) => {
      const s = await stage();
      expect((await raw(s.port, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)).replies.map(({ status }) => status)).toEqual([200]);
      expect(s.seen).toEqual([{ path: '/livez', address: '127.0.0.1', body: '' }]);
    },
  );

  test.each([
    'http://evil.example.com',
    'http://evil.example.com/oauth/token/../../livez',
    'http://evil.example.com//livez',
    'https://',
    '*',
    'evil.example.com:443',
    'evil:/livez',
    'evil/livez',
  ])('the target %s reaches no route: 4xx, and the log repeats none of it', async (target) => {
    const s = await stage();
    const { replies, hung } = await raw(s.port, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(hung).toBe(false);
    for (const reply of replies) expectError(reply, reply.status < 500 ? reply.status : 0);
    expect(s.seen).toEqual([]);
    expect(JSON.stringify(s.told)).not.toContain('evil');
    await alive(s.port);
  });

  test('a query on a GET route is ignored, and none of it is told to the log', async () => {
    const s = await stage();
    expect((await send(s.port, { path: '/livez?token=canary' })).status).toBe(200);
    await send(s.port, { path: '/nope?token=canary' });
    await send(s.port, { path: '/canary' });
    expect(JSON.stringify(s.told)).not.toContain('canary');
    expect(s.told.map(({ path }) => path)).toEqual(['unknown', 'unknown']);
  });

  test('CONNECT is refused, and the connection closed', async () => {
    const s = await stage();
    const { replies, hung } = await raw(s.port, 'CONNECT evil.example.com:443 HTTP/1.1\r\nHost: evil.example.com\r\n\r\n');
    expect(hung).toBe(false);
    expectError(replies[0] ?? { status: 0, headers: {}, body: '{}' }, 405);
    expect(replies[0]?.headers).toMatchObject({ allow: '', connection: 'close' });
    await alive(s.port);
  });

  test('an upgrade is not made: the request is answered as HTTP', async () => {
    const s = await stage();
    const { replies } = await raw(s.port, 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(replies.map(({ status }) => status)).toEqual([200]);
  });

  test('an expectation that nobody can meet is refused; 100-continue is met', async () => {
    const s = await stage();
    const odd = await raw(s.port, 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n');
    expect(odd.replies[0]?.status).toBe(400);
    const good = await send(s.port, {
      method: 'POST',
      path: '/oauth/token',
      headers: { ...FORM, Expect: '100-continue', 'Content-Length': '3' },
      body: 'a=1',
    });
    expect(good.status).toBe(200);
  });
});

describe('a body', () => {
  const post = (headers: string) =>
    `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n${headers}\r\n\r\n`;

  test('of 16 KiB is taken, declared or in chunks', async () => {
    const s = await stage();
    const body = `a=${'b'.repeat(16 * 1024 - 2)}`;
    expect(
      (await send(s.port, { method: 'POST', path: '/oauth/token', headers: { ...FORM, 'Content-Length': body.length }, body })).status,
    ).toBe(200);
    expect(
      (await send(s.port, { method: 'POST', path: '/oauth/token', headers: { ...FORM, 'Transfer-Encoding': 'chunked' }, body })).status,
    ).toBe(200);
    expect(s.seen.map((r) => r.body)).toEqual([body, body]);
  });

  test('declared larger is 413 before it comes', async () => {
    const s = await stage();
    const begun = Date.now();
    const { replies } = await raw(s.port, post('Content-Length: 16385'));
    expectError(replies[0] ?? { status: 0, headers: {}, body: '{}' }, 413);
    expect(replies[0]?.headers['connection']).toBe('close');
    expect(Date.now() - begun).toBeLessThan(2000);
  });

  test('that turns out larger is 413, and not read on', async () => {
    const s = await stage();
    const { replies } = await raw(s.port, `${post('Transfer-Encoding: chunked')}4001\r\n${'a'.repeat(16_385)}\r\n`);
    expectError(replies[0] ?? { status: 0, headers: {}, body: '{}' }, 413);
    expect(replies[0]?.headers['connection']).toBe('close');
    expect(s.seen).toEqual([]);
  });

  test('of megabytes: the client is told, whether it is declared or not', async () => {
    const s = await stage();
    const body = Buffer.alloc(4 * 1024 * 1024, 0x61);
    for (const headers of [
      { ...FORM, 'Content-Length': body.length },
      { ...FORM, 'Transfer-Encoding': 'chunked' },
    ]) {
      // A server that closes on what it did not read resets the connection; a reply that came before is lost with it.
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, () =>
          send(s.port, { method: 'POST', path: '/oauth/token', headers, body }).then(
            ({ status }) => status,
            () => 0,
          ),
        ),
      );
      expect(outcomes).toEqual(Array.from({ length: 8 }, () => 413));
    }
    await alive(s.port);
  });

  test('of an unsupported type is 415', async () => {
    const s = await stage();
    expectError(await send(s.port, { method: 'POST', path: '/oauth/token', headers: { 'Content-Type': 'text/plain' }, body: 'a=1' }), 415);
    expectError(await send(s.port, { method: 'POST', path: '/oauth/token', body: 'a=1' }), 415);
    expectError(await send(s.port, { method: 'POST', path: '/oauth/token' }), 415);
  });

  test('that ends early harms nobody', async () => {
    const s = await stage();
    await raw(s.port, `${post('Content-Length: 100')}a=1`, { ending: 'fin', patience: 1000 });
    await raw(s.port, `${post('Content-Length: 100')}a=1`, { ending: 'reset' });
    await raw(s.port, `${post('Transfer-Encoding: chunked')}5\r\na=`, { ending: 'reset' });
    await alive(s.port);
    await expect.poll(() => s.told.length).toBeGreaterThan(0);
    expect(s.told.every(({ error }) => error instanceof PosternError && error.status < 500)).toBe(true);
  });
});

describe('what one party reads otherwise than another (smuggling)', () => {
  const inner = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n';
  test.each<[string, string]>([
    [
      'Content-Length and Transfer-Encoding',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    ],
    [
      'two Content-Lengths',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
    ],
    ['Content-Length as a list', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0, ${inner.length}\r\n\r\n${inner}`],
    ['a signed Content-Length', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\na=1`],
    ['a hexadecimal Content-Length', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\na=1`],
    ['an endless Content-Length', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na=1`],
    ['an unknown Transfer-Encoding', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`],
    [
      'Transfer-Encoding twice',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
    ],
    ['chunked, identity', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${inner}`],
    ['a space before the colon', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${inner}`],
    ['a vertical tab', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \u000bchunked\r\n\r\n0\r\n\r\n${inner}`],
    [
      'a folded header',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nX: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n${inner}`,
    ],
    ['a bare line feed', `POST /oauth/token HTTP/1.1\nHost: x\nContent-Length: 0\n\n${inner}`],
    [
      'a bare carriage return in a value',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nX: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n${inner}`,
    ],
    ['a NUL in a header', `POST /oauth/token HTTP/1.1\r\nHost: x\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n${inner}`],
    [
      'a malformed chunk size',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\na=1\r\n0\r\n\r\n${inner}`,
    ],
    [
      'a chunk size beyond all numbers',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na=1\r\n`,
    ],
    [
      'a chunk longer than it said',
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n${inner}`,
    ],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a malformed method', `GRT /livez HTTP/1.1\r\nHost: x\r\n\r\n${inner}`],
    ['a malformed version', `GET /livez HTTP/1.9\r\nHost: x\r\n\r\n${inner}`],
    ['headers of 9 KiB', `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9 * 1024)}\r\n\r\n${inner}`],
    ['a target of 9 KiB', `GET /${'a'.repeat(9 * 1024)} HTTP/1.1\r\nHost: x\r\n\r\n${inner}`],
    ['2,000 headers', `GET /livez HTTP/1.1\r\nHost: x\r\n${'X: a\r\n'.repeat(2000)}\r\n${inner}`],
  ])('%s: 4xx once, the connection closed, and what follows is read by nobody', async (_how, bytes) => {
    const s = await stage();
    const { replies, hung } = await raw(s.port, bytes);
    expect(hung).toBe(false);
    expect(replies.length).toBeLessThanOrEqual(1);
    for (const reply of replies) {
      expectError(reply, reply.status);
      expect(reply.status).toSatisfy((status: number) => status >= 400 && status < 500);
      expect(reply.headers['connection']).toBe('close');
    }
    expect(s.seen).toEqual([]);
    await alive(s.port);
  });

  test('too large headers are 431', async () => {
    const s = await stage();
    expectError(
      (await raw(s.port, `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9 * 1024)}\r\n\r\n`)).replies[0] ?? {
        status: 0,
        headers: {},
        body: '{}',
      },
      431,
    );
  });

  test('requests sent without waiting are answered in their order', async () => {
    const s = await stage();
    s.behave.post = async (call) => {
      await sleep(30);
      replyJson(call, 200, `{"n":${s.seen.filter((r) => r.body !== '').length}}`);
    };
    const post = 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1';
    const get = 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const { replies } = await raw(s.port, post + get);
    expect(replies.map(({ body }) => body)).toEqual(['{"n":1}', '{"status":"alive"}']);
  });

  test("after garbage behind a good request, the good one's answer is not mixed up with the refusal", async () => {
    const s = await stage();
    s.behave.post = async (call) => {
      await sleep(50);
      replyJson(call, 200, '{"access_token":"canary"}');
    };
    const post = 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1';
    const { replies } = await raw(s.port, `${post}GARBAGE\r\n\r\n`);
    // Either is told: the good answer first, or the refusal alone with the connection closed. Never a 200 for the garbage.
    expect(replies.map(({ status }) => status).join()).toMatch(/^(200|200,400|400)$/);
    await alive(s.port);
  });
});

describe("the client's address", () => {
  const addressOf = async (trustedProxies: string[], forwarded: string | undefined) => {
    const s = await stage({ trustedProxies: new TrustedProxies(trustedProxies) });
    await send(s.port, { path: '/livez', headers: forwarded === undefined ? {} : { 'X-Forwarded-For': forwarded } });
    return s.seen[0]?.address;
  };

  test.each(['203.0.113.9', '203.0.113.9, 127.0.0.1', 'localhost', ''])(
    'without trusted proxies X-Forwarded-For %j is believed by nobody',
    async (forwarded) => {
      expect(await addressOf([], forwarded)).toBe('127.0.0.1');
    },
  );

  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['203.0.113.9, 192.0.2.1', '192.0.2.1'],
    ['203.0.113.9, 10.0.0.1', '203.0.113.9'],
    ['1.1.1.1, 203.0.113.9, 10.0.0.1, 10.0.0.2', '203.0.113.9'],
    ['2001:db8::1', '2001:db8::1'],
    ['203.0.113.9:51008', '203.0.113.9'],
    ['203.0.113.9:_port', '203.0.113.9'],
    ['203.0.113.9:51008, 10.0.0.1:443', '203.0.113.9'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['"[2001:db8::1]:443"', '2001:db8::1'],
    ['"203.0.113.9"', '203.0.113.9'],
    ['2001:0DB8:0:0::0001', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['[::ffff:cb00:7109]:80', '203.0.113.9'],
    ['fe80::1%eth0', 'fe80::1'],
    ['  203.0.113.9  ,, 10.0.0.1 , ', '203.0.113.9'],
    ['unknown, 203.0.113.9, 10.0.0.1', '203.0.113.9'],
    ['203.0.113.9, unknown, 10.0.0.1', '10.0.0.1'],
    ['203.0.113.9, _hidden', '127.0.0.1'],
    ['::ffff:10.0.0.9', '10.0.0.9'],
    ['', '127.0.0.1'],
    [', ,', '127.0.0.1'],
  ])('behind trusted ones, of %j it is the last that is not a proxy of ours', async (forwarded, expected) => {
    expect(await addressOf(['127.0.0.1', '10.0.0.0/8'], forwarded)).toBe(expected);
  });

  test.each([
    'canary',
    'unknown',
    '_hidden',
    '<script>',
    "'; drop",
    '999.1.1.1',
    ' ',
    'a'.repeat(1000),
    '2130706433',
    '0x7f.1',
    '::1%","outcome":"granted',
    '::1%\\',
    '[203.0.113.9',
    '203.0.113.9:',
    '203.0.113.9:123456',
    '[2001:db8::1]x',
    'for=203.0.113.9',
    '"203.0.113.9',
  ])("a proxy's client that writes %j is known by the proxy's address", async (forwarded) => {
    expect(await addressOf(['127.0.0.1'], forwarded)).toBe('127.0.0.1');
  });

  test('several header lines are one list', async () => {
    const s = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1', '10.0.0.0/8']) });
    await send(s.port, { path: '/livez', headers: { 'X-Forwarded-For': ['1.1.1.1', '203.0.113.9:80', '10.0.0.1'] as unknown as string } });
    expect(s.seen[0]?.address).toBe('203.0.113.9');
  });

  test('what names no address is told once', async () => {
    const told: string[] = [];
    const s = await stage({
      trustedProxies: new TrustedProxies(['127.0.0.1', '10.0.0.0/8']),
      onUnreadableProxy: (address) => told.push(address),
    });
    for (const forwarded of ['203.0.113.9', 'unknown, 10.0.0.1', 'unknown', 'canary'])
      await send(s.port, { path: '/livez', headers: { 'X-Forwarded-For': forwarded } });
    expect(told).toEqual(['10.0.0.1']);
  });

  test('a client can name nobody else unless it is a trusted proxy', async () => {
    expect(await addressOf(['10.0.0.0/8'], '203.0.113.9')).toBe('127.0.0.1');
  });

  test.each([
    'Forwarded',
    'X-Real-IP',
    'X-Client-IP',
    'True-Client-IP',
    'CF-Connecting-IP',
    'X-Forwarded',
    'X-Forwarded-Host',
    'X-Original-Forwarded-For',
  ])('%s is believed from nobody', async (header) => {
    const s = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1']) });
    await send(s.port, { path: '/livez', headers: { [header]: 'for=203.0.113.9' } });
    expect(s.seen[0]?.address).toBe('127.0.0.1');
  });
});

describe('slow clients', () => {
  /** ms until the server closes, and what it said. */
  function closedAfter(port: number, first: string, drip?: string): Promise<{ ms: number; said: string }> {
    const begun = Date.now();
    return new Promise((resolve) => {
      let said = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(first, 'latin1'));
      const timer = drip === undefined ? undefined : setInterval(() => socket.write(drip), 200);
      socket.on('data', (data) => (said += data.toString()));
      socket.on('error', () => {});
      socket.on('close', () => {
        clearInterval(timer);
        resolve({ ms: Date.now() - begun, said });
      });
    });
  }

  test('headers that take longer than 5 s are 408, and good clients go on meanwhile', async () => {
    const s = await stage();
    const slow = [
      closedAfter(s.port, ''),
      closedAfter(s.port, 'G'),
      closedAfter(s.port, 'GET /livez HTTP/1.1\r\nHost: x\r\n'),
      closedAfter(s.port, 'GET /livez HTTP/1.1\r\nHost: x\r\nX: ', 'a'),
      ...Array.from({ length: 100 }, () => closedAfter(s.port, 'POST /oauth/token HTTP/1.1\r\n')),
    ];
    for (let i = 0; i < 20; i++) {
      await alive(s.port);
      await sleep(50);
    }
    for (const { ms, said } of await Promise.all(slow)) {
      expect(ms).toBeGreaterThan(4_500);
      expect(ms).toBeLessThan(7_500);
      if (said !== '') expect(said).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    }
  }, 20_000);

  test('a request that takes longer than it may is 408, however it drips', async () => {
    const s = await stage({ timeouts: { requestTimeout: 600, headersTimeout: 500, connectionsCheckingInterval: 100 } });
    const post = 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n';
    for (const outcome of await Promise.all([
      closedAfter(s.port, `${post}Content-Length: 1000\r\n\r\na=1`),
      closedAfter(s.port, `${post}Content-Length: 1000\r\n\r\na=1`, 'b'),
      closedAfter(s.port, `${post}Transfer-Encoding: chunked\r\n\r\n`, '1\r\na\r\n'),
    ])) {
      expect(outcome.ms).toBeLessThan(3_000);
      expect(outcome.said).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
      expect(outcome.said.match(/HTTP\/1\.1/g)).toHaveLength(1);
    }
    await alive(s.port);
    expect(s.told.every(({ error }) => error instanceof PosternError && error.status < 500)).toBe(true);
  });

  test('more connections than may be are dropped, and the others served', async () => {
    const s = await stage({ maxConnections: 5 });
    const held = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const socket = connect(s.port, '127.0.0.1');
        await new Promise((resolve) => socket.on('connect', resolve));
        return socket;
      }),
    );
    await sleep(20);
    await expect(send(s.port, { path: '/livez' })).rejects.toThrow();
    held[0]?.destroy();
    await expect
      .poll(() =>
        send(s.port, { path: '/livez' }).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
    for (const socket of held) socket.destroy();
  });
});

describe('closing', () => {
  test('finishes what is in flight, tells the client that the connection ends, and then is gone at once', async () => {
    const s = await stage();
    const gate = Promise.withResolvers<void>();
    s.behave.post = async (call) => {
      await gate.promise;
      replyJson(call, 200, '{"ok":true}');
    };
    // On a connection that both sides would keep open.
    const reply = raw(
      s.port,
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1',
    );
    await expect.poll(() => s.seen.length).toBe(1);
    const begun = Date.now();
    const closing = s.server.close(10_000);
    await sleep(20);
    await expect(send(s.port, { path: '/livez' })).rejects.toThrow();
    gate.resolve();
    const { replies } = await reply;
    expect(replies.map(({ status }) => status)).toEqual([200]);
    await closing;
    expect(Date.now() - begun).toBeLessThan(2_000);
  });

  test('a client that keeps its connection does not hold it up', async () => {
    const s = await stage();
    const gate = Promise.withResolvers<void>();
    s.behave.post = async (call) => {
      await gate.promise;
      replyJson(call, 200, '{"ok":true}');
    };
    const socket = connect(s.port, '127.0.0.1');
    socket.on('error', () => {});
    let said = '';
    socket.on('data', (data) => (said += data.toString()));
    socket.write(
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1',
    );
    await expect.poll(() => s.seen.length).toBe(1);
    const begun = Date.now();
    const closing = s.server.close(10_000);
    gate.resolve();
    await closing;
    expect(Date.now() - begun).toBeLessThan(2_000);
    await expect.poll(() => said).toContain('{"ok":true}');
    socket.destroy();
  });

  test('idle connections are closed at once, and one that never ends after the grace', async () => {
    const s = await stage();
    s.behave.post = () => new Promise(() => {});
    const idle = connect(s.port, '127.0.0.1');
    const closed = new Promise((resolve) => idle.on('close', resolve));
    await new Promise((resolve) => idle.on('connect', resolve));
    const hanging = raw(
      s.port,
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1',
    );
    await expect.poll(() => s.seen.length).toBe(1);
    const begun = Date.now();
    await s.server.close(300);
    expect(Date.now() - begun).toBeLessThan(2_000);
    await closed;
    expect((await hanging).replies).toEqual([]);
  });

  test('a port in use is an error of listening', async () => {
    const s = await stage();
    const other = new HttpServer({ routes: [], errors: 'auth0' });
    await expect(other.listen('127.0.0.1', s.port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

test('while the broker starts, requests wait for it, and health does not', async () => {
  const starting = Promise.withResolvers<void>();
  const routes: Route[] = [
    { path: '/livez', method: 'GET', early: true, handle: (call) => replyJson(call, 200, '{}') },
    { path: '/late', method: 'GET', handle: (call) => replyJson(call, 200, '{}') },
    {
      path: '/fails',
      method: 'GET',
      handle: () => {
        throw new PosternError('temporarily_unavailable', 'not yet');
      },
    },
  ];
  const server = new HttpServer({ routes, errors: 'auth0', starting: starting.promise });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  let answered = 0;
  const status = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).then((reply) => (answered++, reply.status));
  const late = [status('/late'), status('/fails')];
  expect(await status('/livez')).toBe(200);
  await sleep(50);
  expect(answered).toBe(1);
  starting.resolve();
  expect(await Promise.all(late)).toEqual([200, 503]);
  expect(await Promise.all([status('/late'), status('/fails')])).toEqual([200, 503]);
});

describe('X-Request-Id', () => {
  test('stands in each answer, also in a refusal, and the log is told of it', async () => {
    const s = await stage();
    const ids = new Set<string>();
    for (const path of ['/livez', '/nowhere', '/oauth/token']) {
      const { headers } = await send(s.port, { path, headers: { 'X-Request-Id': 'mine' } });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
      ids.add(String(headers['x-request-id']));
    }
    expect(ids.size).toBe(3);
    expect(s.told).toMatchObject([{ request_id: [...ids][1] }, { request_id: [...ids][2] }]);
  });

  test('of a trusted proxy is taken', async () => {
    const s = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1']) });
    const { headers } = await send(s.port, { path: '/livez', headers: { 'X-Request-Id': 'from-the-proxy' } });
    expect(headers['x-request-id']).toBe('from-the-proxy');
  });
});
