import { readFile } from 'node:fs/promises';
import { get as httpsGet } from 'node:https';
import type { RequestOptions } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { TrustedProxies } from '#broker/trusted-proxies.ts';
import { Problem } from '#broker/admin/problem.ts';
import { AdminServer, OPERATIONS } from '#broker/admin/admin-server.ts';
import type { AdminServerOptions } from '#broker/admin/admin-server.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';

const CANARY = 'canary-7f3e';
const servers: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

interface Started {
  base: string;
  port: number;
  server: AdminServer;
  audit: Record<string, unknown>[];
  told: { error: unknown; request: Record<string, unknown> }[];
}

/** A server whose callers may do everything at a Vault that `answer` plays. */
async function start(answer: (doing: string) => unknown, more: Partial<AdminServerOptions> = {}): Promise<Started> {
  const audit: Record<string, unknown>[] = [];
  const told: Started['told'] = [];
  const access = {
    mounts: { approle: 'approle', kv: 'postern', policyPrefix: 'postern-' },
    call: async (doing: string) => answer(doing),
  } as unknown as VaultAccess;
  const server = new AdminServer({
    callers: { identify: async () => ({ id: 'vault a', name: 'olivia', by: 'vault_token', access }) },
    audit: { write: (line) => void audit.push(JSON.parse(line) as Record<string, unknown>) },
    version: '0.0.0',
    onError: (error, request) => void told.push({ error, request }),
    ...more,
  });
  servers.push(server);
  const port = await server.listen('127.0.0.1', 0);
  return { base: `http://127.0.0.1:${port}`, port, server, audit, told };
}

/** What comes back for these very bytes. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket
      .setEncoding('utf8')
      .on('data', (chunk: string) => (got += chunk))
      .on('close', () => resolve(got))
      .on('error', reject);
    socket.setTimeout(3000, () => socket.destroy());
  });
}

describe('what is not a request is answered with a problem all the same', () => {
  test.each([
    [
      'headers that are too large',
      `GET /v1/tenants HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'header-fields-too-large',
    ],
    ['no HTTP', 'hello\r\n\r\n', 400, 'malformed-request'],
    ['two lengths', 'POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}', 400, 'malformed-request'],
    [
      'both a length and chunks',
      'POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'malformed-request',
    ],
  ])('%s', async (_, text, status, slug) => {
    const { port } = await start(() => undefined);
    const [head = '', body = ''] = (await raw(port, text)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toContain('Content-Type: application/problem+json');
    expect(head).toContain('Cache-Control: no-store');
    expect(JSON.parse(body)).toMatchObject({ status, type: `https://postern.dev/problems/${slug}` });
  });
});

describe('a body', () => {
  const send = (port: number, method: string, path: string, headers: string, body = '') =>
    raw(port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n${body}`);
  const statusOf = (reply: string) => Number(reply.split(' ')[1]);

  test.each([
    'Content-Type: application/json\r\n',
    'Content-Type: application/json\r\nContent-Length: 0\r\n',
    'Content-Type: text/plain\r\nContent-Length: 0\r\n',
    'Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n',
    'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n',
  ])('that is empty: %j means nothing', async (headers) => {
    const { port } = await start(() => {
      throw new PosternError('not_found', 'reached');
    });
    const rest = headers.includes('chunked') ? '0\r\n\r\n' : '';
    for (const [method, path] of [
      ['DELETE', '/v1/tenants/acme/keys/key_000000000000000000000001'],
      ['POST', '/v1/tenants/acme/disable'],
    ] as const)
      expect(await send(port, method, path, headers, rest)).toContain('reached');
  });

  test.each<[string, string | Buffer, string, number]>([
    ['in UTF-8, said with a charset', '{"tenant":"no Tenant"}', 'Content-Type: application/json; charset="UTF-8"', 400],
    ['in another charset', '{}', 'Content-Type: application/json; charset=iso-8859-1', 415],
    ['of two types', '{}', 'Content-Type: application/json\r\nContent-Type: application/json', 415],
    ['of no type', '{}', 'X: y', 415],
    ['compressed', '{}', 'Content-Type: application/json\r\nContent-Encoding: gzip', 415],
    ['compressed by nothing', '{"tenant":"no Tenant"}', 'Content-Type: application/json\r\nContent-Encoding: identity', 400],
  ])('%s', async (_how, body, headers, status) => {
    const { port } = await start(() => undefined);
    const reply = await send(port, 'POST', '/v1/tenants', `${headers}\r\nContent-Length: ${body.length}\r\n`, String(body));
    expect(statusOf(reply)).toBe(status);
    expect(reply.includes('Accept-Encoding: identity') || reply.includes('accept-encoding: identity')).toBe(_how === 'compressed');
  });

  test('that is not UTF-8 is told as such', async () => {
    const { base } = await start(() => undefined);
    const reply = await fetch(`${base}/v1/tenants`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.from('{"tenant":"caf\xe9"}', 'latin1'),
    });
    expect([reply.status, ((await reply.json()) as { detail: string }).detail]).toEqual([400, 'The body is not valid UTF-8']);
  });
});

test('nobody unknown makes it read a body', async () => {
  const { base, audit } = await start(() => undefined, {
    callers: {
      identify: async () => {
        throw new Problem('invalid-token', 'no');
      },
    },
  });
  const reply = await fetch(`${base}/v1/tenants`, { method: 'POST', body: 'not JSON', headers: { 'Content-Type': 'application/json' } });
  expect(reply.status).toBe(401);
  expect(audit).toEqual([
    {
      time: expect.any(String),
      request_id: reply.headers.get('x-request-id'),
      event: 'admin.admission',
      outcome: 'refused',
      address: '127.0.0.1',
      error: 'invalid-token',
    },
  ]);
});

test('a request id of a trusted proxy is in the answer and names the occurrence; nobody else names one', async () => {
  const id = '7b0a1c9e-95d3-4c54-bb0a-0f1fd0f0c7f2';
  for (const [trusted, given, instance] of [
    [true, id, `urn:uuid:${id}`],
    [true, 'gateway#1', 'urn:request:gateway%231'],
    [false, id, expect.not.stringContaining(id)],
  ] as const) {
    const { base } = await start(() => undefined, trusted ? { trustedProxies: new TrustedProxies(['127.0.0.1']) } : {});
    const reply = await fetch(`${base}/nowhere`, { headers: { 'X-Request-Id': given } });
    expect(((await reply.json()) as { instance: string }).instance).toEqual(instance);
    if (trusted) expect(reply.headers.get('x-request-id')).toBe(given);
    else expect(reply.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test('a fault of our own is a plain 503; the log is told of the error, and of no value of the request', async () => {
  const { base, told } = await start(() => {
    throw new TypeError(`secret ${CANARY}`);
  });
  const reply = await fetch(`${base}/v1/tenants/acme?`, { headers: { 'X-Note': CANARY } });
  const body = (await reply.json()) as { instance: string };
  expect(reply.status).toBe(503);
  expect(reply.headers.get('retry-after')).toBe('1');
  expect(JSON.stringify(body)).not.toContain(CANARY);
  expect(told).toEqual([
    {
      error: expect.any(TypeError),
      request: {
        method: 'GET',
        path: '/v1/tenants/:tenant',
        address: '127.0.0.1',
        instance: body.instance,
        problem: 'temporarily-unavailable',
        status: 503,
        caller: 'olivia',
      },
    },
  ]);
  await fetch(`${base}/v1/${CANARY}`);
  expect(JSON.stringify(told[1]?.request)).not.toContain(CANARY);
});

test("Vault's refusal is told in our own words, and the change is audited as refused", async () => {
  const { base, audit } = await start(() => {
    throw new PosternError('access_denied', 'Vault refuses to list (permission denied)', { detail: CANARY });
  });
  const reply = await fetch(`${base}/v1/tenants/acme/disable`, { method: 'POST' });
  const text = await reply.text();
  expect(reply.status).toBe(403);
  expect(text).not.toContain(CANARY);
  expect(audit).toMatchObject([
    { event: 'admin.disableTenant', outcome: 'refused', caller: 'olivia', by: 'vault_token', tenant: 'acme', error: 'access-denied' },
  ]);
});

test('the audit names what is a name, and nothing else that was sent', async () => {
  const { base, audit } = await start(() => {
    throw new PosternError('access_denied', 'no');
  });
  const send = (path: string, body: unknown): Promise<Response> =>
    fetch(`${base}${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  await send('/v1/tenants', { tenant: 'initech' });
  await send('/v1/tenants', { tenant: `postern_live_${CANARY}` });
  await send(`/v1/tenants/postern_live_${CANARY}/keys`, { name: CANARY });
  await send(`/v1/tenants/acme/keys/postern_live_${CANARY}/rotate`, {});
  expect(audit.map(({ tenant, error }) => [tenant, error])).toEqual([
    ['initech', 'access-denied'],
    [undefined, 'malformed-request'],
    [undefined, 'malformed-request'],
    ['acme', 'malformed-request'],
  ]);
  expect(JSON.stringify(audit)).not.toContain(CANARY);
});

test('TLS 1.2 and up, with its own certificate', async () => {
  await using certificates = await makeCertificates();
  const [cert, key, ca] = await Promise.all(
    [certificates.certFile, certificates.keyFile, certificates.caFile].map((file) => readFile(file, 'utf8')),
  );
  const { port } = await start(() => undefined, { tls: { cert: cert!, key: key! } });
  const status = (options: RequestOptions): Promise<number | string> =>
    new Promise((resolve) => {
      httpsGet({ host: '127.0.0.1', servername: 'localhost', port, path: '/openapi.json', agent: false, ...options }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  expect(await status({ ca: ca! })).toBe(200);
  expect(await status({})).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/);
  expect(await status({ ca: ca!, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).not.toBe(200);
});

test('what is under way is finished while it closes, and nothing new is taken', async () => {
  const gate = Promise.withResolvers<void>();
  const { base, server } = await start(async () => {
    await gate.promise;
    throw new PosternError('not_found', 'gone');
  });
  const underWay = fetch(`${base}/v1/tenants/acme`);
  await sleep(100);
  const closed = server.close(5000);
  await sleep(50);
  await expect(fetch(`${base}/openapi.json`)).rejects.toThrow('fetch failed');
  gate.resolve();
  expect((await underWay).status).toBe(404);
  await closed;
});

test('one that hangs does not hold up the end for ever', async () => {
  const { base, server } = await start(() => new Promise(() => {}));
  const hanging = fetch(`${base}/v1/tenants/acme`).catch(() => 'cut');
  await sleep(100);
  const begin = performance.now();
  await server.close(200);
  expect(performance.now() - begin).toBeLessThan(3000);
  expect(await hanging).toBe('cut');
});

test('the document tells of each operation, with a unique id, its permission and its refusals', async () => {
  const { base } = await start(() => undefined);
  const document = (await (await fetch(`${base}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<
      string,
      Record<string, { operationId: string; security: Record<string, string[]>[]; responses: Record<string, unknown> }>
    >;
  };
  expect(document.openapi).toBe('3.1.0');
  const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  expect(new Set(ids).size).toBe(ids.length);
  for (const { id, method, path, need, success } of OPERATIONS) {
    const described = document.paths[path]?.[method.toLowerCase()];
    expect(described, id).toMatchObject({ operationId: id, security: [{ jwt: [need.permission] }, { vault: [] }] });
    expect(Object.keys(described!.responses)).toEqual(expect.arrayContaining([String(success.status), '400', '401', '403', '429', '503']));
  }
  // Every reference leads somewhere.
  for (const [, name] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    expect((document as unknown as { components: { schemas: object } }).components.schemas).toHaveProperty(name!);
});
