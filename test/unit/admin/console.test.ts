import { gunzipSync } from 'node:zlib';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { AdminServer } from '#broker/admin/admin-server.ts';
import { PAGES } from '#broker/admin/console/generated/pages.ts';
import { Problem } from '#broker/admin/problem.ts';

const servers: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

async function start(withConsole = true): Promise<number> {
  const server = new AdminServer({
    callers: {
      identify: async () => {
        throw new Problem('invalid-token', 'nobody');
      },
    },
    audit: { write: () => {} },
    version: '1.2.3',
    ...(withConsole ? { console: { issuer: 'https://acme.eu.auth0.com/', clientId: 'console', audience: 'https://a.example/admin' } } : {}),
  });
  servers.push(server);
  return server.listen('127.0.0.1', 0);
}

/** fetch would undo the coding. */
function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
  return new Promise((resolve, reject) => {
    httpRequest({ port, path, method, headers, host: '127.0.0.1' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
    })
      .on('error', reject)
      .end();
  });
}

describe('the console', () => {
  test('its files come as they were built, plain or compressed, and only once', async () => {
    const port = await start();
    for (const [name, text] of Object.entries(PAGES)) {
      const plain = await ask(port, `/console/${name}`);
      expect([plain.status, plain.headers['content-encoding'], plain.body.toString()]).toEqual([200, undefined, text]);
      const zipped = await ask(port, `/console/${name}`, { headers: { 'Accept-Encoding': 'br, gzip' } });
      expect([zipped.headers['content-encoding'], gunzipSync(zipped.body).toString()]).toEqual(['gzip', text]);
      expect((await ask(port, `/console/${name}`, { headers: { 'Accept-Encoding': 'gzip;q=0, br' } })).body.toString()).toBe(text);
      expect((await ask(port, `/console/${name}`, { method: 'HEAD' })).status).toBe(200);
      const again = await ask(port, `/console/${name}`, { headers: { 'If-None-Match': String(plain.headers.etag) } });
      expect([again.status, again.body.length]).toEqual([304, 0]);
    }
    expect((await ask(port, '/console/')).body.toString()).toBe(PAGES['index.html']);
  });

  test('a page learns where to log in, and no more', async () => {
    const { body, headers } = await ask(await start(), '/console/config.json');
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body.toString())).toEqual({
      issuer: 'https://acme.eu.auth0.com/',
      client_id: 'console',
      audience: 'https://a.example/admin',
      version: '1.2.3',
    });
  });

  test('the address without its path, or without its slash, leads there', async () => {
    const port = await start();
    for (const path of ['/', '/console']) {
      const { status, headers } = await ask(port, path);
      expect([status, headers.location]).toEqual([302, '/console/']);
    }
  });

  test('every answer forbids frames, foreign scripts and foreign calls', async () => {
    const port = await start();
    for (const path of ['/', '/console/', '/console/console.js', '/console/config.json']) {
      const { headers } = await ask(port, path);
      const policy = String(headers['content-security-policy']);
      expect(policy.split('; ')).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "connect-src 'self' https://acme.eu.auth0.com",
          "frame-ancestors 'none'",
          "base-uri 'none'",
          "form-action 'none'",
        ]),
      );
      expect(policy).not.toContain('unsafe');
      expect(headers).toMatchObject({ 'x-frame-options': 'DENY', 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
    }
  });

  test.each(['POST', 'PUT', 'DELETE'])('%s is not for pages', async (method) => {
    const { status, headers } = await ask(await start(), '/console/', { method });
    expect([status, headers['allow']]).toEqual([405, 'GET, HEAD']);
  });

  test.each(['/console/../config.json', '/console/%2e%2e/openapi.json', '/console/none.js', '/console/generated/pages.ts', '/consolex'])(
    'there is nothing at %s',
    async (path) => {
      expect((await ask(await start(), path)).status).toBe(404);
    },
  );

  test('it is not there unless it was asked for', async () => {
    const port = await start(false);
    for (const path of ['/', '/console', '/console/', '/console/console.js', '/console/config.json'])
      expect((await ask(port, path)).status, path).toBe(404);
  });

  test('it weighs at most 150 kB on the wire', async () => {
    const port = await start();
    const sizes = await Promise.all(
      Object.keys(PAGES).map(async (name) => (await ask(port, `/console/${name}`, { headers: { 'Accept-Encoding': 'gzip' } })).body.length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(150_000);
  });

  test('nothing in it names another host', () => {
    expect(PAGES['index.html']).not.toMatch(/https?:|\bstyle=|<script(?![^>]*\bsrc=)|\bon\w+=/);
    expect(PAGES['console.css']).not.toMatch(/url\(|@import/);
  });
});
