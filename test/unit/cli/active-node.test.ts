import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { run } from '#cli/command/program.ts';
import { fakeTerminal } from './terminal.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function node(answer: (request: IncomingMessage) => { status: number; body: object; location?: string }) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers['x-vault-token'] === undefined ? 'without' : 'with'} a token`);
    const { status, body, location } = answer(request);
    response.writeHead(status, { 'content-type': 'application/json', ...(location === undefined ? {} : { location }) });
    response.end(JSON.stringify(body));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A command of reads and writes; Node's own server knows no LIST. */
async function announce(vault: string): Promise<{ code: number; out: string; err: string }> {
  const terminal = fakeTerminal({ input: '', env: { VAULT_TOKEN: 'a-token' } });
  const code = await run(['announce', 'replayed', '--vault-addr', vault, '--json'], terminal, '1.2.3');
  return { code, out: terminal.out(), err: terminal.err() };
}

test('a standby that sends the caller on is left for the active node, which is asked from then on', async () => {
  const active = await node(({ method }) =>
    method === 'GET' ? { status: 404, body: { errors: [] } } : { status: 200, body: { request_id: '1', data: { version: 1 } } },
  );
  const standby = await node(({ url }) =>
    url === '/v1/sys/leader'
      ? { status: 200, body: { ha_enabled: true, is_self: false, leader_address: active.url } }
      : { status: 307, body: {}, location: 'http://elsewhere.example.com/' },
  );
  const { code, out, err } = await announce(standby.url);
  expect(code, err).toBe(0);
  expect(JSON.parse(out)).toEqual({ replayed: true, epoch: 1 });
  expect(active.asked.length).toBeGreaterThan(1);
  // Vault itself says where the active node is, and is asked without the token; the Location of the redirect counts for nothing.
  expect(new Set(standby.asked.filter((one) => one.includes('sys/leader')))).toEqual(new Set(['GET /v1/sys/leader without a token']));
});

test.each([
  ['names nobody', ''],
  ['names itself', 'self'],
  ['names what is no address', 'ftp://127.0.0.1/'],
  ['names one with a user name', 'http://somebody@127.0.0.1:1/'],
])('whoever redirects and %s is told of as before', async (_, leader) => {
  const standby = await node(({ url, headers }) =>
    url === '/v1/sys/leader'
      ? { status: 200, body: { leader_address: leader === 'self' ? `http://${headers.host}` : leader } }
      : { status: 307, body: {}, location: '/' },
  );
  const { code, err } = await announce(standby.url);
  expect(code).toBe(6);
  expect(err).toContain('point VAULT_ADDR at the active node');
});

test('an active node that cannot be reached is named', async () => {
  const standby = await node(({ url }) =>
    url === '/v1/sys/leader' ? { status: 200, body: { leader_address: 'http://127.0.0.1:9' } } : { status: 307, body: {}, location: '/' },
  );
  const { code, err } = await announce(standby.url);
  expect(code).toBe(5);
  expect(err).toContain('http://127.0.0.1:9');
});
