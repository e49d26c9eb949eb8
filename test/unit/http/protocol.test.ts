import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HttpServer } from '#broker/http/http-server.ts';
import { replyJson } from '#broker/http/reply.ts';
import { sendBytes } from '#test/fixture/wire.ts';

const server = new HttpServer({
  errors: 'auth0',
  routes: [
    {
      path: '/echo',
      method: 'GET',
      handle: (call) => {
        const { authorization, 'content-type': type } = call.request.headers;
        replyJson(call, 200, JSON.stringify({ authorization, type }));
      },
    },
  ],
});
let port: number;
beforeAll(async () => {
  port = await server.listen('127.0.0.1', 0);
});
afterAll(() => server.close(0));

const send = async (head: string) => (await sendBytes(port, Buffer.from(`${head}\r\n\r\n`, 'latin1'))).replies[0];

it.each([
  ['no Host', 'GET /echo HTTP/1.1'],
  ['two Hosts', 'GET /echo HTTP/1.1\r\nHost: a\r\nHost: b'],
  ['HTTP/2.0 on a connection of HTTP/1', 'GET /echo HTTP/2.0\r\nHost: a'],
  ['HTTP/0.9 with headers', 'GET /echo HTTP/0.9\r\nHost: a'],
])("%s, which Node's parser lets pass, is refused as an OAuth error that is not stored", async (_, head) => {
  const reply = await send(head);
  expect(reply?.status).toBe(400);
  expect(reply?.headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'application/json' });
  expect(JSON.parse(reply?.body ?? '')).toEqual({ error: 'invalid_request', error_description: expect.any(String) });
});

it('serves HTTP/1.0, which knows no Host', async () => {
  expect((await send('GET /echo HTTP/1.0'))?.status).toBe(200);
});

it.each([
  ['GET http://a/echo HTTP/1.1', 200],
  ['GET http://a/echo?x=/nowhere HTTP/1.1', 200],
  ['GET http://a/nowhere?/echo HTTP/1.1', 404],
  ['GET http://a HTTP/1.1', 404],
  ['GET a/echo HTTP/1.1', 400],
])('%s: an absolute target is taken by its path', async (line, status) => {
  expect((await send(`${line}\r\nHost: a`))?.status).toBe(status);
});

it('shows a repeated header as repeated: Node would show the first and hide the others', async () => {
  const reply = await send(
    'GET /echo HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\nAuthorization: Bearer ' +
      'z\r\nContent-Type: text/plain\r\nContent-Type: application/json',
  );
  expect(JSON.parse(reply?.body ?? '')).toEqual({ authorization: 'Basic eDp5, Bearer z', type: 'text/plain, application/json' });
});

it.each([
  ['declared', (body: string) => `Content-Length: ${body.length}\r\n\r\n${body}`],
  ['in chunks', (body: string) => `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
])('a client that is refused while it still writes gets its answer (%s)', async (_, framed) => {
  const bytes = Buffer.from(`POST /nowhere HTTP/1.1\r\nHost: a\r\n${framed('x'.repeat(3_000_000))}`);
  // It looks for the answer only when it has written all.
  const socket = connect({ port, host: '127.0.0.1' });
  socket.pause();
  await new Promise<void>((resolve, reject) => socket.on('error', reject).write(bytes, (error) => (error ? reject(error) : resolve())));
  const answer = await text(socket);
  expect(answer).toMatch(/^HTTP\/1\.1 404 .*\r\nConnection: close\r\n/s);
});

it.each([
  ['is too large', 'Content-Length: 1000000\r\n\r\nxxxxx'],
  ['does not come', 'Content-Length: 10\r\n\r\nxxxxx'],
  ['does not end', 'Transfer-Encoding: chunked\r\n\r\nf4240\r\nxxxxx'],
])('does not wait for a body that %s', async (_, rest) => {
  const begun = performance.now();
  const { replies } = await sendBytes(port, Buffer.from(`POST /nowhere HTTP/1.1\r\nHost: a\r\n${rest}`));
  expect(replies.map(({ status, headers }) => [status, headers['connection']])).toEqual([[404, 'close']]);
  expect(performance.now() - begun).toBeLessThan(900);
});

it('does not read on for ever once it has refused', async () => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const drip = setInterval(() => socket.write('x'), 100);
  socket
    .on('error', () => {})
    .resume()
    .write('POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  await new Promise((resolve) => socket.on('close', resolve));
  clearInterval(drip);
}, 8_000);

it('tells once of a proxy that nobody named', async () => {
  const told: string[] = [];
  const own = new HttpServer({
    errors: 'auth0',
    routes: [{ path: '/', method: 'GET', handle: (call) => replyJson(call, 200, JSON.stringify(call.address)) }],
    onUntrustedProxy: (address) => told.push(address),
  });
  const at = await own.listen('127.0.0.1', 0);
  for (let i = 0; i < 3; i++)
    expect(await (await fetch(`http://127.0.0.1:${at}/`, { headers: { 'x-forwarded-for': '203.0.113.9' } })).json()).toBe('127.0.0.1');
  await own.close(0);
  expect(told).toEqual(['127.0.0.1']);
});
