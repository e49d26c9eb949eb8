import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { healthRoutes } from '#broker/http/health.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { replyJson } from '#broker/http/reply.ts';
import type { Route } from '#broker/http/route.ts';
import { tokenEndpoint } from '#broker/http/token-endpoint.ts';
import type { Queueing } from '#broker/http/turn.ts';
import { Turns } from '#broker/listener/turns.ts';

const CONNECTIONS = 400;
/** Of which some thirty are looked at by nobody, and at most 64 have waited. */
const FEW = 150;

const open: (() => unknown)[] = [];
afterEach(() => Promise.all(open.splice(0).map((close) => close())));

/** A server, and how many requests it has begun or refused in each turn of the event loop. */
async function stage() {
  const turns = new Turns({ waitMs: 1000, onShed: () => {} });
  const queueing: Queueing = { turns, isKnown: () => false, readingOf: (socket) => server.readingOf(socket) };
  const counts = { all: 0, now: 0, most: 0 };
  const count = (): void => {
    if (counts.now === 0) setImmediate(() => (counts.now = 0));
    counts.all++;
    counts.most = Math.max(counts.most, ++counts.now);
  };
  const counted = (route: Route): Route => ({
    ...route,
    handle: (call) => {
      count();
      return route.handle(call);
    },
  });
  const run = () => Promise.reject(new Error('nobody gets here'));
  const server = new HttpServer({
    routes: [
      tokenEndpoint({ exchange: { run }, audit: { write: () => {} }, queueing }),
      ...healthRoutes({ missing: () => [] }).map(counted),
      counted({ path: '/document', method: 'GET', handle: (call) => replyJson(call, 200, '{}') }),
    ],
    errors: 'auth0',
    queueing,
    onError: count,
  });
  open.push(() => server.close(0));
  return { port: await server.listen('127.0.0.1', 0), counts };
}

async function connections(port: number): Promise<Socket[]> {
  const sockets = Array.from({ length: CONNECTIONS }, () => connect({ host: '127.0.0.1', port }));
  for (const socket of sockets) open.push(() => socket.destroy());
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

test.each([
  ['/livez', 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['/readyz', 'GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a document', 'GET /document HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['what is nowhere', 'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['by a wrong method', 'GET /oauth/token HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['what is no token request', 'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nx=y'],
  ['with a foreign expectation', 'GET /document HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n'],
  ['eight at once', 'GET /document HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(8)],
])('%s: of many connections that ask again and again few are served in one turn of the event loop', async (_, request) => {
  const { port, counts } = await stage();
  const sockets = await connections(port);
  const asked = new Map<Socket, number>();
  for (const socket of sockets) {
    socket.on('data', () => {
      asked.set(socket, (asked.get(socket) ?? 0) + 1);
      if (counts.all < 5 * CONNECTIONS) socket.write(request);
    });
    socket.write(request);
  }
  await expect.poll(() => counts.all, { timeout: 20_000 }).toBeGreaterThanOrEqual(5 * CONNECTIONS);
  expect(counts.most).toBeLessThan(FEW);
  // Each has had its turn.
  expect(asked.size).toBe(CONNECTIONS);
});
