import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { replyJson } from '#broker/http/reply.ts';
import type { Route } from '#broker/http/route.ts';
import type { SpanAttributes, Tracer } from '#broker/span.ts';

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

/** What the span of each request said when it ended. */
async function stage() {
  const ended: { attributes: SpanAttributes; error: unknown }[] = [];
  const tracer: Tracer = {
    request() {
      let attributes: SpanAttributes = {};
      return {
        traceparent: '',
        tracestate: undefined,
        traceId: undefined,
        child: () => this.request('', {}, false)!,
        name() {},
        set: (more) => void (attributes = { ...attributes, ...more }),
        end: (error) => void ended.push({ attributes, error }),
      };
    },
    work: () => undefined,
  };
  const begun = Promise.withResolvers<void>();
  const routes: Route[] = [
    { method: 'GET', path: '/good', handle: (call) => replyJson(call, 200, '{}') },
    {
      method: 'GET',
      path: '/bug',
      handle() {
        throw new TypeError('canary');
      },
    },
    {
      method: 'GET',
      path: '/away',
      handle() {
        throw new PosternError('temporarily_unavailable', 'x');
      },
    },
    {
      method: 'GET',
      path: '/never',
      handle() {
        begun.resolve();
        return new Promise(() => {});
      },
    },
  ];
  const server = new HttpServer({ routes, errors: 'auth0', tracer });
  open.push(server);
  return { ended, begun: begun.promise, port: await server.listen('127.0.0.1', 0) };
}

test('the span of a request has the status that was sent, and ends badly with a 5xx alone', async () => {
  const { ended, port } = await stage();
  for (const path of ['/good', '/bug', '/away', '/nowhere']) {
    const { status } = await fetch(`http://127.0.0.1:${port}${path}`);
    await expect.poll(() => ended.at(-1)?.attributes['http.response.status_code']).toBe(status);
    expect(ended.at(-1)?.error).toBe(status >= 500 ? status : undefined);
  }
  expect(ended).toHaveLength(4);
  expect(JSON.stringify(ended)).not.toContain('canary');
});

test('where the client left before an answer, none is told of', async () => {
  const { ended, begun, port } = await stage();
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  client.write('GET /never HTTP/1.1\r\nHost: x\r\n\r\n');
  await begun;
  client.destroy();
  await expect.poll(() => ended).toHaveLength(1);
  expect(ended[0]?.attributes).toMatchObject({ 'postern.aborted': true });
  expect(ended[0]?.attributes).not.toHaveProperty('http.response.status_code');
  expect(ended[0]?.error).toBeUndefined();
});
