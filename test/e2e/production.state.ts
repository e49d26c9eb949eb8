import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { registerSecret } from '#test/fixture/ledger.ts';

/** An HTTP backend for Terraform's state, as its documentation describes one, with locking and a password. */
export async function startStateServer() {
  const password = randomBytes(18).toString('base64url');
  registerSecret('state password', password);
  let [state, lock] = ['', ''];
  const server = createServer((request, response) => {
    const say = (status: number, body = ''): void => void response.writeHead(status).end(body);
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      if (request.headers.authorization !== `Basic ${Buffer.from(`terraform:${password}`).toString('base64')}`) return say(401);
      if (request.method === 'LOCK') return lock === '' ? ((lock = body), say(200)) : say(423, lock);
      if (request.method === 'UNLOCK') return ((lock = ''), say(200));
      if (request.method === 'GET') return state === '' ? say(404) : say(200, state);
      if (request.method !== 'POST' || lock === '') return say(409);
      state = body;
      return say(200);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    password,
    state: () => state,
    stop: async () => void (await new Promise((resolve) => server.close(resolve))),
  };
}
