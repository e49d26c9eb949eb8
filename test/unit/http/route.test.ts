import { afterEach, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { replyJson } from '#broker/http/reply.ts';
import type { Call, Method, Route } from '#broker/http/route.ts';
import { ofNode } from '#broker/http/route.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { sendBytes } from '#test/fixture/wire.ts';

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

async function stage(routes: readonly Route[]) {
  const told: string[] = [];
  const server = new HttpServer({ routes, errors: 'auth0', onError: (_error, { path }) => told.push(path) });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  const ask = async (target: string, method = 'GET') =>
    (
      await sendBytes(port, Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), {
        head: method === 'HEAD',
      })
    ).replies[0];
  return { port, told, ask };
}

const says = (name: string) => (call: Call) => replyJson(call, 200, JSON.stringify([name, call.request.method, call.request.url]));
const named = (name: string, more: Partial<Route> = {}): Route => ({ path: `/${name}`, method: 'any', handle: says(name), ...more });

describe('a route of any method', () => {
  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT'])('takes %s', async (method) => {
    const s = await stage([named('check')]);
    expect((await s.ask('/check', method))?.status).toBe(200);
  });

  test('takes no CONNECT', async () => {
    const s = await stage([named('check')]);
    expect((await s.ask('/check', 'CONNECT'))?.status).toBe(405);
  });
});

describe('several routes of one path', () => {
  const methods: Method[] = ['GET', 'PUT', 'DELETE'];
  const routes = methods.map((method) => ({ path: '/thing', method, handle: says(method) }));

  test.each([
    ['GET', 'GET'],
    ['HEAD', 'GET'],
    ['PUT', 'PUT'],
    ['DELETE', 'DELETE'],
  ])('%s goes to the one for %s', async (method, name) => {
    const s = await stage(routes);
    const reply = await s.ask('/thing', method);
    expect(reply?.status).toBe(200);
    if (method !== 'HEAD') expect(reply?.body).toContain(`"${name}"`);
  });

  test('another method is told all that may be used', async () => {
    const s = await stage(routes);
    const reply = await s.ask('/thing', 'POST');
    expect([reply?.status, reply?.headers['allow']]).toEqual([405, 'GET, HEAD, PUT, DELETE']);
  });
});

describe('a prefix', () => {
  const prefix = named('check', { path: '/check/', prefix: true });

  test.each(['/check/', '/check/a', '/check//', '/check/../admin', '/check/a?b=/other', 'http://x/check/a'])(
    'takes %s, and sees it as it came',
    async (target) => {
      const s = await stage([prefix, named('admin')]);
      const reply = await s.ask(target);
      expect(reply?.body).toBe(JSON.stringify(['check', 'GET', target]));
    },
  );

  test.each(['/check', '/checks/', '/Check/a', '//check/a', '/x/../check/a', '/%63heck/a', '/?/check/a', '*'])(
    'does not take %s',
    async (target) => {
      const s = await stage([prefix]);
      expect((await s.ask(target))?.status).toBe(404);
    },
  );

  test('gives way to a route of that very path', async () => {
    const s = await stage([prefix, named('check/exact')]);
    expect((await s.ask('/check/exact'))?.body).toContain('"check/exact"');
    expect((await s.ask('/check/exact/'))?.body).toContain('"check"');
  });

  test('is told to the log alone, without what the client wrote behind it', async () => {
    const s = await stage([
      {
        ...prefix,
        handle() {
          throw new PosternError('invalid_request', 'no');
        },
      },
    ]);
    await s.ask('/check/canary');
    expect(s.told).toEqual(['/check/']);
  });
});

describe('a route that words its own refusals', () => {
  const refusing = (handle: Route['handle']): Route => ({
    path: '/own',
    method: 'any',
    handle,
    refuse: (call, error) => replyJson(call, error.status, JSON.stringify({ own: error.code })),
  });

  test.each<[string, Route['handle'], number, string]>([
    [
      'thrown',
      () => {
        throw new PosternError('insufficient_scope', 'no');
      },
      403,
      'insufficient_scope',
    ],
    ['rejected', () => Promise.reject(new PosternError('invalid_token', 'no')), 401, 'invalid_token'],
    [
      'of another package',
      () => {
        throw new Error('canary');
      },
      503,
      'temporarily_unavailable',
    ],
  ])('is asked for an error that was %s', async (_how, handle, status, code) => {
    const s = await stage([refusing(handle)]);
    const reply = await s.ask('/own');
    expect([reply?.status, reply?.body]).toEqual([status, JSON.stringify({ own: code })]);
  });

  test('is not asked once the reply has begun', async () => {
    const s = await stage([
      refusing((call) => {
        const { response } = ofNode(call);
        response.writeHead(200, { 'Content-Length': '10' });
        response.write('12345');
        throw new Error('late');
      }),
    ]);
    expect((await sendBytes(s.port, Buffer.from('GET /own HTTP/1.1\r\nHost: x\r\n\r\n'))).hung).toBe(false);
  });
});
