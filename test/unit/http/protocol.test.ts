import { afterAll, beforeAll, expect, it } from 'vitest';
import { HttpServer } from '#broker/http/server.ts';
import { replyJson } from '#broker/http/reply.ts';
import { sendBytes } from '#test/fixture/wire.ts';

const server = new HttpServer({
  errors: 'auth0',
  routes: [{ path: '/echo', method: 'GET', handle: ({ request, response }) => replyJson(response, 200, JSON.stringify({ authorization: request.headers.authorization, type: request.headers['content-type'] })) }],
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
])('%s, which Node\'s parser lets pass, is refused as an OAuth error that is not stored', async (_, head) => {
  const reply = await send(head);
  expect(reply?.status).toBe(400);
  expect(reply?.headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'application/json' });
  expect(JSON.parse(reply?.body ?? '')).toEqual({ error: 'invalid_request', error_description: expect.any(String) });
});

it('serves HTTP/1.0, which knows no Host', async () => {
  expect((await send('GET /echo HTTP/1.0'))?.status).toBe(200);
});

it('shows a repeated header as repeated: Node would show the first and hide the others', async () => {
  const reply = await send('GET /echo HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\nAuthorization: Bearer z\r\nContent-Type: text/plain\r\nContent-Type: application/json');
  expect(JSON.parse(reply?.body ?? '')).toEqual({ authorization: 'Basic eDp5, Bearer z', type: 'text/plain, application/json' });
});

const post = (length: number, sent = length) => Buffer.from(`POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(sent)}`);

it('reads a refused request to its end before it answers: closing on a client that still writes would lose the answer', async () => {
  const { replies } = await sendBytes(port, post(100_000), { cuts: [60, 200, 70_000] });
  expect(replies.map(({ status, headers }) => [status, headers['connection']])).toEqual([[404, 'keep-alive']]);
});

it.each([
  ['is too large', post(1_000_000, 10), 500],
  ['does not come', post(10, 5), 2_500],
  ['does not end', Buffer.concat([Buffer.from('POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n'), Buffer.alloc(900_000)]), 2_500],
])('does not wait for a body that %s', async (_, bytes, patience) => {
  const { replies } = await sendBytes(port, bytes, { patience });
  expect(replies.map(({ status, headers }) => [status, headers['connection']])).toEqual([[404, 'close']]);
});
