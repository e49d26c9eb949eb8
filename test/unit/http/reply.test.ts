import { afterAll, beforeAll, expect, test } from 'vitest';
import { HttpServer } from '#broker/http/http-server.ts';
import { addFields, replyInTurn, replyToken } from '#broker/http/reply.ts';
import type { Call } from '#broker/http/route.ts';
import { WholeRequest } from '#broker/listener/whole-request.ts';
import { KeptConnection } from '#test/fixture/wire.ts';

let answer: (call: Call) => void = () => {};
let whole = 0;
const server = new HttpServer({
  errors: 'auth0',
  routes: [
    {
      path: '/x',
      method: 'GET',
      whole: true,
      handle: (call) => {
        if (call.request instanceof WholeRequest) whole++;
        answer(call);
      },
    },
  ],
});
let port: number;
beforeAll(async () => {
  port = await server.listen('127.0.0.1', 0);
});
afterAll(() => server.close(0));

const SAME = ['X-A', 'b', 'Content-Length', '2'];
const REQUEST = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';

test.each<[string, (call: Call) => void]>([
  ['an array that comes again', (call) => replyInTurn(call, SAME, 'ok')],
  ['and headers of one answer alone', (call) => replyInTurn(call, SAME, 'ok', ['X-C', 'd'])],
  ['and headers that were added before', (call) => (addFields(call, ['X-B', '1', 'x-a', 'not this']), replyInTurn(call, SAME, 'ok'))],
  ['a token', (call) => replyToken(call, '{"access_token":"a"}', ['RateLimit', '"tenant";r=1;t=2'])],
])('%s: a kept connection gets the same headers and body from its second request on', async (_, handle) => {
  answer = handle;
  whole = 0;
  await using connection = new KeptConnection(port);
  const [first, ...others] = [await connection.send(REQUEST), await connection.send(REQUEST), await connection.send(REQUEST)];
  expect(whole).toBe(2);
  const told = ({ status, headers, body }: typeof first) => ({ status, headers: { ...headers, 'x-request-id': '', date: '' }, body });
  for (const other of others) expect(told(other)).toEqual(told(first));
  expect(new Set([first, ...others].map(({ headers }) => headers['x-request-id'])).size).toBe(3);
});

test('an answer that ends its connection says so, and does', async () => {
  await using connection = new KeptConnection(port);
  answer = (call) => replyInTurn(call, SAME, 'ok', whole > 0 ? ['Connection', 'close'] : undefined);
  whole = 0;
  await connection.send(REQUEST);
  expect((await connection.send(REQUEST)).headers['connection']).toBe('close');
  await connection.closed;
});
