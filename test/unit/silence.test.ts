import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { run } from '#cli/command/program.ts';
import { brokerView } from '#broker/doctor/broker/broker-view.ts';
import type { Check } from '#broker/doctor/check.ts';
import { ON_BROKER } from '#broker/doctor/inspections.ts';
import type { View } from '#broker/doctor/view.ts';
import { silenceOf } from '#broker/silence.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import { fakeTerminal } from './cli/terminal.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const http = (answer: RequestListener): Promise<number> => listen(createServer(answer));

/** Of a company's own authority. */
async function https(endsInMs?: number): Promise<number> {
  await using made = await makeCertificates(endsInMs);
  const [cert, key] = await Promise.all([readFile(made.certFile), readFile(made.keyFile)]);
  return listen(createTlsServer({ cert, key }, (_, response) => response.end('{}')));
}

async function told(...line: string[]): Promise<string> {
  const terminal = fakeTerminal({ input: '', env: { POSTERN_CLIENT_SECRET: 'a-secret', VAULT_TOKEN: 'a-token' } });
  const code = await run(line, terminal, '1.2.3');
  expect(code, terminal.err()).toBe(5);
  return terminal.err();
}

/** Each command that talks to a broker, at the address. */
const COMMANDS: readonly (readonly [name: string, line: (url: string) => string[]])[] = [
  ['token', (url) => ['token', '--client-id', 'x', '--url', url]],
  ['health', (url) => ['health', '--url', url]],
  // Vault's, by the same words.
  ['tenant list', (url) => ['tenant', 'list', '--vault-addr', url]],
];

describe.each(COMMANDS)('%s tells why nobody answers', (_, line) => {
  test('a private CA: something does answer', async () => {
    const err = await told(...line(`https://127.0.0.1:${await https()}`));
    expect(err).toContain('CA that this machine does not trust');
    expect(err).toContain('--cacert');
    expect(err).not.toMatch(/is it started/i);
  });

  test('nothing listens', async () => {
    const port = await http(() => {});
    servers.pop()?.close();
    expect(await told(...line(`http://127.0.0.1:${port}`))).toMatch(/nothing listens there|ECONNREFUSED/);
  });

  test('https to a port of http', async () => {
    const port = await http((__, response) => response.end());
    expect(await told(...line(`https://127.0.0.1:${port}`))).toMatch(/is it http or https/i);
  });

  test('http to what cuts the connection', async () => {
    const port = await listen(createTcpServer((socket) => socket.destroy()));
    expect(await told(...line(`http://127.0.0.1:${port}`))).toMatch(/is it http or https/i);
  });
});

test.each([
  ['SELF_SIGNED_CERT_IN_CHAIN', 'CA that this machine does not trust'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CA that this machine does not trust'],
  ['CERT_HAS_EXPIRED', 'expired'],
  ['CERT_NOT_YET_VALID', 'not valid yet'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'another name'],
  ['ENOTFOUND', 'not known to DNS'],
  ['ECONNREFUSED', 'nothing listens'],
])('%s', (code, words) => {
  const cause = Object.assign(new Error('with a-secret in it'), { code });
  expect(silenceOf(new TypeError('fetch failed', { cause })).why).toContain(words);
  expect(silenceOf(new TypeError('fetch failed', { cause: new AggregateError([cause]) })).why).toContain(words);
  expect(JSON.stringify(silenceOf(cause))).not.toContain('a-secret');
});

test('an expired certificate is called so', async () => {
  const port = await https(-86_400_000);
  expect(silenceOf(await fetch(`https://127.0.0.1:${port}`).catch((error: unknown) => error)).why).toMatch(/expired|CA that/);
});

test('a redirect and a time-out are no silence of nobody', async () => {
  const port = await http((__, response) => response.writeHead(302, { location: '/' }).end());
  const redirected = await fetch(`http://127.0.0.1:${port}`, { redirect: 'error' }).catch((error: unknown) => error);
  expect(silenceOf(redirected).why).toContain('redirects');
  const slow = await http(() => {});
  const late = await fetch(`http://127.0.0.1:${slow}`, { signal: AbortSignal.timeout(50) }).catch((error: unknown) => error);
  expect(silenceOf(late).why).toContain('in time');
});

describe('doctor', () => {
  const vault = { tenants: () => Promise.resolve([]), mounts: {}, read: () => Promise.resolve(undefined) } as unknown as View;

  async function seen(url: string): Promise<Check[]> {
    const view = brokerView(url, vault, []);
    return (await Promise.all(ON_BROKER.map((one) => one.inspect(view)))).flat();
  }

  async function broker(jwksUri: (own: string) => string, keys: number = 200): Promise<Check[]> {
    const port = await http((request, response) => {
      const own = `http://127.0.0.1:${port}/`;
      if (request.url === '/readyz') return response.end('{}');
      if (request.url === '/keys') return response.writeHead(keys).end('{"keys":[]}');
      return response.end(JSON.stringify({ issuer: own, jwks_uri: jwksUri(own) }));
    });
    return seen(`http://127.0.0.1:${port}/`);
  }

  test('a private CA of the broker is no broker that is away', async () => {
    const [check] = await seen(`https://127.0.0.1:${await https()}/`);
    expect(check).toMatchObject({ name: 'broker: ready', status: 'failed' });
    expect(check?.seen).toContain('CA that this machine does not trust');
    expect(check?.remedy).toContain('--cacert');
  });

  test('a jwks_uri that cannot be reached is called that, not a missing key', async () => {
    const checks = await broker(() => 'http://127.0.0.1:9/keys');
    const check = checks.find(({ name }) => name === 'broker: JWKS');
    expect(check?.seen).toMatch(/^jwks_uri http:\/\/127.0.0.1:9\/keys cannot be reached from here: /);
    expect(check?.remedy).toContain('POSTERN_ISSUER');
  });

  test('nor is one that answers something else', async () => {
    const check = (await broker((own) => `${own}keys`, 404)).find(({ name }) => name === 'broker: JWKS');
    expect(check?.seen).toContain('answers 404');
  });

  test('and a key set without keys is still that', async () => {
    const check = (await broker((own) => `${own}keys`)).find(({ name }) => name === 'broker: JWKS');
    expect(check?.seen).toContain('there are no keys');
  });
});
