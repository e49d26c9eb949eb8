import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import { createServer as createProxy } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeVault } from '#test/fixture/node-vault.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { replyJson } from '#broker/http/reply.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { VaultClient } from '#broker/vault/client.ts';

const TOKEN = 'hvs.canary-token';
const openssl = spawnSync('openssl', ['version']).status === 0;

describe.skipIf(!openssl)('TLS', () => {
  let folder: string;
  let address: string;
  const seen: string[] = [];
  const certOf = (name: string) => ({
    cert: readFileSync(join(folder, `${name}.pem`), 'utf8'),
    key: readFileSync(join(folder, `${name}.key`), 'utf8'),
  });
  const server = createServer((request, response) => {
    seen.push(String(request.headers['x-vault-token']));
    response.end('{"request_id":"1","data":{"ok":true}}');
  });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-tls-'));
    for (const [name, san] of [
      ['right', 'IP:127.0.0.1,DNS:vault.test'],
      ['other', 'DNS:elsewhere.example.com'],
    ] as const) {
      execFileSync(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '1',
          '-subj',
          '/CN=test',
          '-addext',
          `subjectAltName=${san}`,
          '-keyout',
          join(folder, `${name}.key`),
          '-out',
          join(folder, `${name}.pem`),
        ],
        { stdio: 'ignore' },
      );
    }
    server.setSecureContext(certOf('right'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    seen.length = 0;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  });

  const read = async (caFile?: string, more: { address?: string; proxy?: string } = {}) => {
    const client = new VaultClient({ address, caFile, ...more });
    try {
      return (await client.read('kv/x', { token: TOKEN, attempts: 1 }))?.data;
    } finally {
      await client.close();
    }
  };

  test("node-vault itself stops checking Vault's certificate when the environment says so", async () => {
    vi.stubEnv('VAULT_SKIP_VERIFY', 'true');
    await nodeVault({ endpoint: address, token: TOKEN }).read('kv/x');
    expect(seen).toEqual([TOKEN]);
  });

  test('a certificate that nobody vouches for gets no token, whatever the environment says', async () => {
    vi.stubEnv('VAULT_SKIP_VERIFY', 'true');
    await expect(read()).rejects.toMatchObject({ reason: 'unreachable', message: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT') });
    expect(seen).toEqual([]);
  });

  test('the CA of the configuration is trusted', async () => {
    expect(await read(join(folder, 'right.pem'))).toEqual({ ok: true });
  });

  test('another CA is trusted from then on, calls in flight included, and the one before is not any more', async () => {
    const client = new VaultClient({ address, caFile: join(folder, 'right.pem') });
    const call = () => client.read('kv/x', { token: TOKEN, attempts: 1 });
    try {
      const inFlight = call();
      client.trust(certOf('other').cert);
      expect((await inFlight)?.data).toEqual({ ok: true });
      await expect(call()).rejects.toMatchObject({ reason: 'unreachable' });
      client.trust(certOf('right').cert);
      expect((await call())?.data).toEqual({ ok: true });
    } finally {
      await client.close();
    }
  });

  test('the file of the CA may have CRLF, a byte order mark and text around; one without a certificate is a fault', async () => {
    const file = join(folder, 'crlf.pem');
    writeFileSync(file, `\uFEFFsubject=test\r\n${certOf('right').cert.replaceAll('\n', '\r\n')}`);
    expect(await read(file)).toEqual({ ok: true });
    await expect(read(join(folder, 'right.key'))).rejects.toMatchObject({ code: 'misconfigured' });
  });

  describe('through a proxy', () => {
    const wanted: [target: string | undefined, authorization: string | undefined][] = [];
    const proxy = createProxy((_request, response) => response.writeHead(500).end());
    // Whatever name is asked for is the server above.
    proxy.on('connect', (request, socket) => {
      wanted.push([request.url, request.headers['proxy-authorization']]);
      const tunnel = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        tunnel.pipe(socket).pipe(tunnel);
      });
      for (const end of [tunnel, socket]) end.on('error', () => [tunnel, socket].forEach((each) => each.destroy()));
    });
    let origin: string;
    beforeAll(async () => {
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      origin = `http://user:word@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    });
    afterEach(() => {
      wanted.length = 0;
    });
    afterAll(() => new Promise((resolve) => proxy.close(resolve)));

    test("Vault is reached by CONNECT and its certificate is checked against Vault's name, by the configured CA", async () => {
      const vault = { address: 'https://vault.test:8200', proxy: origin };
      expect(await read(join(folder, 'right.pem'), vault)).toEqual({ ok: true });
      expect(wanted).toEqual([['vault.test:8200', `Basic ${btoa('user:word')}`]]);
      expect(seen).toEqual([TOKEN]);
      await expect(read(undefined, vault)).rejects.toMatchObject({ reason: 'unreachable' });
      await expect(read(join(folder, 'right.pem'), { ...vault, address: 'https://other.test:8200' })).rejects.toMatchObject({
        reason: 'unreachable',
      });
      expect(seen).toEqual([TOKEN]);
    });

    test('Vault on loopback is reached without it', async () => {
      expect(await read(join(folder, 'right.pem'), { proxy: origin })).toEqual({ ok: true });
      expect(wanted).toEqual([]);
    });

    test('where the proxy is away Vault is unreachable, and no credential of the proxy is told', async () => {
      const failed = await read(undefined, { address: 'https://vault.test:8200', proxy: 'http://user:canary@127.0.0.1:1' }).catch(
        (error: unknown) => error,
      );
      expect(failed).toMatchObject({ reason: 'unreachable' });
      expect(String((failed as Error).stack)).not.toContain('canary');
    });
  });

  test('a certificate for another name gets no token', async () => {
    server.setSecureContext(certOf('other'));
    await expect(read(join(folder, 'other.pem'))).rejects.toMatchObject({ reason: 'unreachable' });
    expect(seen).toEqual([]);
    server.setSecureContext(certOf('right'));
  });

  test("the broker's own door: TLS 1.2 and up, and plain http gets nothing", async () => {
    const door = new HttpServer({
      errors: 'auth0',
      tls: certOf('right'),
      routes: [{ path: '/livez', method: 'GET', handle: (call) => replyJson(call, 200, '{}') }],
    });
    const port = await door.listen('127.0.0.1', 0);
    const status = (maxVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<number | string>((resolve) => {
        get(
          {
            host: '127.0.0.1',
            port,
            path: '/livez',
            agent: false,
            ca: certOf('right').cert,
            minVersion: 'TLSv1.1',
            maxVersion,
            ciphers: 'DEFAULT@SECLEVEL=0',
          },
          (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          },
        ).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      });
    expect([await status('TLSv1.3'), await status('TLSv1.2')]).toEqual([200, 200]);
    expect(await status('TLSv1.1')).toEqual(expect.any(String));
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
    expect(await status('TLSv1.3')).toBe(200);
    await door.close(0);
  });
});
