import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { ErrorRequestHandler } from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { startGateway } from '#test/fixture/gateway.ts';
import type { Gateway } from '#test/fixture/gateway.ts';
import { identityHeaders } from '#test/fixture/identity-headers.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { sendBytes } from '#test/fixture/wire.ts';
import type { WireReply } from '#test/fixture/wire.ts';
import { findGateway } from '#test/part/gateway.ts';

const NAMES = ['nginx', 'caddy', 'envoy', 'traefik'] as const;
type Name = (typeof NAMES)[number];

/** The service behind: Auth0's own verifier, which knows nothing of Postern, and all that reaches it. */
interface Service {
  address: string;
  seen: { method: string; url: string; headers: [string, string][]; body: string; claims: Record<string, unknown> | undefined }[];
  server: Server;
}

let house: House;
let replica: LocalReplica;
let service: Service;
let keys: { acme: string; globex: string };
let foreign: string;
const missing: Partial<Record<Name, string>> = {};

beforeAll(async () => {
  // nginx must be there: a machine without it fails, with the remedy in the error. The others come out of a package registry.
  await findGateway('nginx');
  await Promise.all(
    NAMES.slice(1).map(async (name) => {
      await findGateway(name).catch((error: Error) => {
        missing[name] = error.message;
        process.stderr.write(`conformance: ${name} is skipped: ${error.message}\n`);
      });
    }),
  );
  house = await startHouse();
  replica = await house.startReplica();
  service = await startService(house.auth0.issuer);
  const issue = async (tenant: string): Promise<string> => {
    const { client_id, client_secret } = await house.issueSecret(tenant);
    const key = ApiKey.format('test', client_id, client_secret);
    registerSecret('API key', key);
    return key;
  };
  keys = { acme: await issue('acme'), globex: await issue('globex') };
  const other = await fetch(`${replica.issuer}verify?audience=https://orders.example.com`, { headers: { 'X-API-Key': keys.globex } });
  foreign = other.headers.get('authorization') ?? '';
  registerSecret('access token', foreign.replace('Bearer ', ''));
}, 300_000);
afterAll(async () => {
  service?.server.close();
  service?.server.closeAllConnections();
  await house?.stop();
});

async function startService(issuer: string): Promise<Service> {
  const seen: Service['seen'] = [];
  const refuse: ErrorRequestHandler = (error: { status?: number; headers?: Record<string, string> }, _request, response, _next) => {
    response
      .set(error.headers ?? {})
      .status(error.status ?? 500)
      .json({ by: 'service' });
  };
  const app = express();
  const seenOf = new WeakMap<express.Request, Service['seen'][number]>();
  app.use(express.text({ type: () => true }), (request, _response, next) => {
    const pairs = request.rawHeaders.flatMap((name, i, all) => (i % 2 ? [] : [[name.toLowerCase(), all[i + 1]!] as [string, string]]));
    const entry = {
      method: request.method,
      url: request.url,
      headers: pairs,
      body: typeof request.body === 'string' ? request.body : '',
      claims: undefined,
    };
    seen.push(entry);
    seenOf.set(request, entry);
    next();
  });
  app.use(
    auth({ issuerBaseURL: issuer, audience: 'https://orders.example.com', tokenSigningAlg: 'RS256' }),
    requiredScopes('read:orders'),
    (request, response) => {
      seenOf.get(request)!.claims = request.auth?.payload as Record<string, unknown>;
      response.json({ tenant: request.auth?.payload['https://postern.dev/tenant'] });
    },
  );
  app.use(refuse);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server };
}

const brokerAddress = (): string => new URL(replica.issuer).host;

interface Asked {
  method?: string;
  target?: string;
  lines?: readonly string[];
  body?: string;
}

/** As bytes, since no HTTP client would send some of these headers. */
async function ask(port: number, { method = 'GET', target = '/orders?page=2', lines = [], body = '' }: Asked = {}): Promise<WireReply> {
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const request = [`${method} ${target} HTTP/1.1`, 'Host: api.example.com', 'Connection: close', ...lines, ...length, '', body].join(
    '\r\n',
  );
  const { replies, hung } = await sendBytes(port, Buffer.from(request, 'latin1'), { patience: 15_000, head: method === 'HEAD' });
  const reply = replies.at(-1);
  if (hung || reply === undefined) throw new Error(`no answer to ${JSON.stringify(request.slice(0, 300))}`);
  return reply;
}

const valuesOf = (headers: readonly [string, string][], name: RegExp): string[] =>
  headers.filter(([header]) => name.test(header)).map(([, value]) => value);
/** As frameworks do that make `HTTP_X_POSTERN_TENANT` of it. */
const POSTERN = /^x[-_]postern[-_](tenant|scope)$/;
const KEY = /^x[-_]api[-_]key$/;
const USER =
  /^(forwarded|remote-user|x-(forwarded-(user|email|groups|preferred-username|access-token)|auth-request-(user|email|groups|access-token)|authenticated-user|remote-user|user|http-method-override|original-ur[il]|rewrite-url))$/;

it('nginx that refuses by itself says so, and neither challenges nor promises anything', async () => {
  await using gateway = await startGateway('nginx', {
    postern: brokerAddress(),
    service: service.address,
    change: (text) => text.replace('auth_request /_postern;', 'deny all; auth_request /_postern;'),
  });
  const before = service.seen.length;
  const reply = await ask(gateway.port, { lines: [`X-API-Key: ${keys.acme}`] });
  expect([reply.status, reply.headers['www-authenticate'], reply.headers['retry-after']]).toEqual([403, undefined, undefined]);
  expect(service.seen.length).toBe(before);
});

describe.each(NAMES)('%s with the configuration of examples/gateway', (name) => {
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    if (missing[name] === undefined) gateway = await startGateway(name, { postern: brokerAddress(), service: service.address });
  }, 120_000);
  afterAll(() => gateway?.stop());
  const running = (context: TestContext): Gateway => gateway ?? context.skip(missing[name]);

  it.for([
    ['Bearer', (key: string) => `Authorization: Bearer ${key}`],
    ['X-API-Key', (key: string) => `X-API-Key: ${key}`],
    ['Basic', (key: string) => `Authorization: Basic ${Buffer.from(`${key}:`).toString('base64')}`],
  ] as const)('takes a key by %s, and the service verifies a token', async ([, line], context) => {
    const { port } = running(context);
    const reply = await ask(port, { lines: [line(keys.acme)] });
    expect([reply.status, reply.body]).toEqual([200, expect.stringContaining('"tenant":"acme"')]);
    const { headers, url, method } = service.seen.at(-1)!;
    expect([method, url]).toEqual(['GET', '/orders?page=2']);
    expect(valuesOf(headers, /^authorization$/)).toEqual([expect.stringMatching(/^Bearer eyJ/)]);
    expect([valuesOf(headers, /^x-postern-tenant$/), valuesOf(headers, /^x-postern-scope$/), valuesOf(headers, KEY)]).toEqual([
      ['acme'],
      ['read:orders write:orders'],
      [],
    ]);
    expect(JSON.stringify(headers)).not.toContain(keys.acme);
  });

  it('hands method and body on to the service, and none of it to Postern', async (context) => {
    const { port } = running(context);
    const body = 'x'.repeat(100_000);
    for (const method of ['POST', 'PUT', 'PATCH']) {
      expect((await ask(port, { method, body, lines: [`X-API-Key: ${keys.acme}`, 'Content-Type: text/plain'] })).status).toBe(200);
      expect(service.seen.at(-1)).toMatchObject({ method, body });
    }
  });

  it.for<[string, () => string[], number, string | undefined]>([
    ['no key', () => [], 401, undefined],
    ['another scheme', () => ['Authorization: Digest username="x"'], 401, undefined],
    ['a mistyped key', () => [`Authorization: Bearer ${keys.acme.slice(0, -1)}_`], 401, 'invalid_token'],
    ['an unknown key', () => [`X-API-Key: ${ApiKey.format('test', crypto.randomUUID(), crypto.randomUUID())}`], 401, 'invalid_token'],
    ["somebody's token in place of a key", () => [`Authorization: ${foreign}`], 401, 'invalid_token'],
    ['two keys', () => [`Authorization: Bearer ${keys.acme}`, `X-API-Key: ${keys.globex}`], 400, 'invalid_request'],
  ])('refuses %s, with the challenge', async ([, lines, status, error], context) => {
    const { port } = running(context);
    const before = service.seen.length;
    const reply = await ask(port, { lines: lines() });
    expect(reply.status).toBe(status);
    const challenge = reply.headers['www-authenticate'] ?? '';
    expect(challenge).toMatch(/^Bearer realm="postern", scope="read:orders"/);
    if (error === undefined) expect(challenge).not.toContain('error=');
    else expect(challenge).toContain(`error="${error}"`);
    expect(service.seen.length).toBe(before);
  });

  it('tells a Postern that trusts it the address that it saw, not one that its client wrote', async (context) => {
    running(context);
    await using stop = new AsyncDisposableStack();
    const trusting = await house.startReplica({ env: { POSTERN_TRUSTED_PROXIES: '127.0.0.1' } });
    stop.defer(() => trusting.stop());
    const { port } = stop.use(await startGateway(name, { postern: new URL(trusting.issuer).host, service: service.address }));
    for (const header of [
      'X-Forwarded-For: 198.51.100.7',
      'X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 198.51.100.8',
      'X-Real-IP: 198.51.100.7',
      'Forwarded: for=198.51.100.7',
      'True-Client-IP: 198.51.100.7',
    ]) {
      expect((await ask(port, { lines: [`X-API-Key: ${keys.acme}`, header] })).status).toBe(200);
      expect((await trusting.events()).at(-1)).toMatchObject({ outcome: 'granted', address: expect.not.stringContaining('198.51.100') });
    }
  });

  it('refuses a key that lacks the scope: 403', async (context) => {
    running(context);
    await using strict = await startGateway(name, {
      postern: brokerAddress(),
      service: service.address,
      change: (text) => text.replaceAll('read%3Aorders', 'write%3Aorders'),
    });
    const before = service.seen.length;
    const reply = await ask(strict.port, { lines: [`X-API-Key: ${keys.globex}`] });
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([
      403,
      expect.stringContaining('scope="write:orders", error="insufficient_scope"'),
    ]);
    expect(service.seen.length).toBe(before);
    expect((await ask(strict.port, { lines: [`X-API-Key: ${keys.acme}`] })).status).toBe(200);
  });

  // The demand is the gateway's; the client's path goes behind it in Envoy, and nowhere in the others.
  it.for([
    '/../../../verify/audience/https%3A%2F%2Fpayroll.example.com/-/',
    '//audience/x/-/',
    '/-/?audience=x&scope=',
    '/%2e%2e/%2e%2e/scope/read:none/-/',
    '/..%2f..%2f',
    '/?audience=https://payroll.example.com',
    '/verify',
    '/_postern',
    '/verify?audience=x',
  ])('a client at %s changes nothing of what is demanded', async (target, context) => {
    const { port } = running(context);
    const [before, events] = [service.seen.length, (await replica.events()).length];
    expect([400, 401, 404]).toContain((await ask(port, { target })).status);
    expect(service.seen.length).toBe(before);
    const reply = await ask(port, { target, lines: [`X-API-Key: ${keys.globex}`] });
    // A proxy may refuse such a path itself, or resolve it.
    expect([200, 307, 308, 400, 404]).toContain(reply.status);
    for (const event of (await replica.events()).slice(events))
      if (event['outcome'] === 'granted') expect(event).toMatchObject({ tenant: 'globex', audience: 'https://orders.example.com' });
  });

  it(
    `${name === 'nginx' ? '2,000' : '400'} permutations of forwarded and identity headers: nobody is let ` +
      'in by them, and none reaches the service as identity',
    async (context) => {
      const { port } = running(context);
      const total = name === 'nginx' ? 2_000 : 400;
      const canaries = ['canary-globex', 'canary-admin', `canary ${keys.globex}`];
      const claims = [
        ...canaries,
        'globex',
        `Bearer ${keys.globex}`,
        keys.globex,
        foreign,
        '127.0.0.1',
        'for=127.0.0.1',
        '/verify?audience=https://payroll.example.com',
        'GET',
        'true',
        '*',
      ];
      const random = seeded(NAMES.indexOf(name) + 1);
      const wrong: string[] = [];
      const before = service.seen.length;
      let good = 0;
      for (let done = 0; done < total; done += 50) {
        await Promise.all(
          Array.from({ length: 50 }, async (_, i) => {
            const withKey = i % 4 === 0;
            if (withKey) good++;
            const lines = [
              ...identityHeaders(random, claims),
              ...(withKey ? [random() < 0.5 ? `X-API-Key: ${keys.acme}` : `Authorization: Bearer ${keys.acme}`] : []),
            ].sort(() => random() - 0.5);
            const reply = await ask(port, { lines });
            // What a proxy refuses by itself, such as a path in a header that it believes in, lets nobody in either.
            const right = withKey
              ? reply.status === 200 && reply.body.includes('"tenant":"acme"')
              : reply.status >= 400 && reply.status < 500;
            if (!right) wrong.push(JSON.stringify({ lines, status: reply.status, body: reply.body }));
          }),
        );
      }
      expect(wrong).toEqual([]);
      const reached = service.seen.slice(before);
      expect(reached.length).toBe(good);
      for (const { headers, claims, url, method } of reached) {
        const [token, ...more] = valuesOf(headers, /^authorization$/);
        expect(more).toEqual([]);
        expect(decodeJwt(token!.replace('Bearer ', ''))['https://postern.dev/tenant']).toBe('acme');
        expect(claims?.['https://postern.dev/tenant']).toBe('acme');
        expect(valuesOf(headers, POSTERN)).toEqual(expect.arrayContaining(['acme', 'read:orders write:orders']));
        expect(valuesOf(headers, POSTERN)).toHaveLength(2);
        expect([valuesOf(headers, KEY), valuesOf(headers, USER)]).toEqual([[], []]);
        expect([method, url]).toEqual(['GET', '/orders?page=2']);
      }
    },
  );

  describe('what Postern says', () => {
    let says: (request: IncomingMessage, response: ServerResponse) => void;
    let stub: Server;
    let before: Gateway | undefined;
    beforeAll(async () => {
      says = (_request, response) => void response.writeHead(401).end();
      stub = createServer((request, response) => says(request, response)).listen(0, '127.0.0.1');
      await once(stub, 'listening');
      if (missing[name] === undefined)
        before = await startGateway(name, { postern: `127.0.0.1:${(stub.address() as AddressInfo).port}`, service: service.address });
    }, 120_000);
    afterAll(async () => {
      stub.closeAllConnections();
      stub.close();
      await before?.stop();
    });

    it.for([
      [429, '7'],
      [503, '3'],
    ] as const)('%i reaches the client, with Retry-After', async ([status, seconds], context) => {
      running(context);
      says = (_request, response) =>
        void response.writeHead(status, { 'Retry-After': seconds, 'Content-Type': 'application/json' }).end('{}');
      const seen = service.seen.length;
      const reply = await ask(before!.port, { lines: ['X-API-Key: x'] });
      expect(reply.status).toBe(status);
      // Envoy keeps no header of a 5xx, so its configuration names one of its own.
      expect(Number(reply.headers['retry-after'])).toBe(name === 'envoy' && status === 503 ? 1 : Number(seconds));
      expect(service.seen.length).toBe(seen);
    });

    it.for<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
      ['an error of its own', (_request, response) => void response.writeHead(500).end()],
      ['404, as where the address is wrong', (_request, response) => void response.writeHead(404).end()],
      ['a redirect', (_request, response) => void response.writeHead(302, { Location: '/' }).end()],
      ['nothing, and closes', (request) => void request.socket.destroy()],
      ['what is not HTTP', (request) => void request.socket.end('garbage\r\n\r\n')],
      [
        'headers beyond all measure',
        (_request, response) => void response.writeHead(200, { Authorization: `Bearer ${'x'.repeat(100_000)}` }).end(),
      ],
    ])('%s: nobody gets in', async ([what, answer], context) => {
      running(context);
      says = answer;
      const seen = service.seen.length;
      // A connection that is closed without an answer lets nobody in either.
      const { status } = await ask(before!.port, { lines: [`X-API-Key: ${keys.acme}`] }).catch(() => ({ status: 500 }));
      // Too long a token is let through by proxies with larger buffers than others; then the service refuses it.
      if (!what.startsWith('headers') || status >= 500) expect(service.seen.length).toBe(seen);
      expect(status === 302 || status >= 400).toBe(true);
    });

    it("200 without a token: the client's own Authorization does not get through", async (context) => {
      running(context);
      says = (_request, response) => void response.writeHead(200).end();
      const seen = service.seen.length;
      const reply = await ask(before!.port, { lines: [`Authorization: ${foreign}`, 'X-Postern-Tenant: globex'] });
      for (const { headers } of service.seen.slice(seen))
        expect([valuesOf(headers, /^authorization$/), valuesOf(headers, POSTERN)]).toEqual([[], []]);
      // The service refuses what has no token; Envoy does not even ask it.
      expect(reply.status).toBe(name === 'envoy' ? 403 : 401);
    });

    it('nothing, since it is away: nobody gets in', async (context) => {
      running(context);
      stub.closeAllConnections();
      stub.close();
      await once(stub, 'close');
      const seen = service.seen.length;
      const reply = await ask(before!.port, { lines: [`X-API-Key: ${keys.acme}`] });
      expect(reply.status).toBe(name === 'traefik' ? 500 : 503);
      if (name !== 'traefik') expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
      expect(service.seen.length).toBe(seen);
    });
  });
});
