import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { run } from '#cli/command/program.ts';
import { fakeTerminal } from './terminal.ts';

/* What Vault's CLI lets the environment say about TLS, at a server that stands for Vault and for the broker. */
const openssl = spawnSync('openssl', ['version']).status === 0;

describe.skipIf(!openssl)('TLS by the environment', () => {
  let folder: string;
  let address: string;
  let namespaces: (string | undefined)[] = [];
  let shown: string[] = [];
  const at = (name: string): string => join(folder, name);
  const server = createServer({ requestCert: true, rejectUnauthorized: false }, (request, response) => {
    namespaces.push(request.headers['x-vault-namespace'] as string | undefined);
    shown.push(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN ?? ''));
    if (request.url === '/readyz') return response.end('{}');
    if (request.url === '/oauth/token') return response.writeHead(401).end('{"error":"invalid_client"}');
    response.writeHead(403).end('{"errors":["permission denied"]}');
  });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-vault-tls-'));
    for (const [name, san] of [
      ['right', 'IP:127.0.0.1,DNS:vault.test'],
      ['named', 'DNS:vault.test'],
      ['client', 'DNS:client.test'],
    ] as const) {
      const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
      const certificate = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${san}`, '-days', '1', '-nodes'];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...certificate, ...files], {
        stdio: 'ignore',
      });
    }
    mkdirSync(at('authorities/more'), { recursive: true });
    writeFileSync(at('authorities/README'), 'no certificate');
    writeFileSync(at('authorities/more/right.crt'), readFileSync(at('right.pem')));
    symlinkSync(at('authorities/more'), at('authorities/link'));
    mkdirSync(at('empty'));
    serve('right');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    namespaces = [];
    shown = [];
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  });

  function serve(name: string): void {
    server.setSecureContext({ cert: readFileSync(at(`${name}.pem`)), key: readFileSync(at(`${name}.key`)) });
  }

  async function told(args: string[], env: Record<string, string>): Promise<{ code: number; err: string }> {
    const terminal = fakeTerminal({ input: 'a-secret', env: { VAULT_ADDR: address, VAULT_TOKEN: 'hvs.any', ...env } });
    const code = await run(args, terminal, '1.2.3');
    return { code, err: terminal.err() };
  }

  /** 3: Vault was asked, and refuses. */
  test.each<[string, string, () => Record<string, string>, number, RegExp]>([
    ['nothing, so that nobody vouches for it', 'right', () => ({}), 5, /SELF_SIGNED/],
    ['VAULT_CACERT', 'right', () => ({ VAULT_CACERT: at('right.pem') }), 3, /permission denied/],
    ['VAULT_CACERT_BYTES', 'right', () => ({ VAULT_CACERT_BYTES: readFileSync(at('right.pem'), 'utf8') }), 3, /permission denied/],
    ['VAULT_CAPATH, with all that lies below', 'right', () => ({ VAULT_CAPATH: at('authorities') }), 3, /permission denied/],
    [
      'VAULT_CACERT before VAULT_CAPATH',
      'right',
      () => ({ VAULT_CACERT: at('named.pem'), VAULT_CAPATH: at('authorities') }),
      5,
      /SELF_SIGNED/,
    ],
    ['VAULT_CAPATH without a certificate', 'right', () => ({ VAULT_CAPATH: at('empty') }), 2, /VAULT_CAPATH/],
    ['VAULT_CAPATH that is not there', 'right', () => ({ VAULT_CAPATH: at('nowhere') }), 2, /ENOENT[^]*VAULT_CAPATH/],
    ['VAULT_CACERT without a certificate', 'right', () => ({ VAULT_CACERT: at('right.key') }), 2, /holds no certificate/],
    ['VAULT_SKIP_VERIFY', 'right', () => ({ VAULT_SKIP_VERIFY: 'true' }), 3, /permission denied/],
    ['VAULT_SKIP_VERIFY=0', 'right', () => ({ VAULT_SKIP_VERIFY: '0' }), 5, /SELF_SIGNED/],
    ['VAULT_SKIP_VERIFY=yes', 'right', () => ({ VAULT_SKIP_VERIFY: 'yes' }), 2, /VAULT_SKIP_VERIFY/],
    ["another name's certificate", 'named', () => ({ VAULT_CACERT: at('named.pem') }), 5, /ALTNAME/],
    [
      'VAULT_TLS_SERVER_NAME',
      'named',
      () => ({ VAULT_CACERT: at('named.pem'), VAULT_TLS_SERVER_NAME: 'vault.test' }),
      3,
      /permission denied/,
    ],
    ['VAULT_CLIENT_CERT without its key', 'right', () => ({ VAULT_CLIENT_CERT: at('client.pem') }), 2, /VAULT_CLIENT_KEY/],
  ])('%s', async (_, certificate, env, code, message) => {
    serve(certificate);
    const seen = await told(['tenant', 'show', 'acme'], env());
    expect(seen.err).toMatch(message);
    expect(seen.code).toBe(code);
    expect(namespaces).toHaveLength(code === 3 ? namespaces.length : 0);
  });

  test('VAULT_CLIENT_CERT and VAULT_CLIENT_KEY are shown, and VAULT_NAMESPACE is said', async () => {
    serve('right');
    const client = { VAULT_CLIENT_CERT: at('client.pem'), VAULT_CLIENT_KEY: at('client.key') };
    await told(['tenant', 'show', 'acme'], { VAULT_CACERT: at('right.pem'), VAULT_NAMESPACE: 'team-a', ...client });
    expect(new Set(shown)).toEqual(new Set(['client']));
    expect(new Set(namespaces)).toEqual(new Set(['team-a']));
  });

  test('--cacert counts for the broker, too', async () => {
    serve('right');
    expect((await told(['token', '--client-id', 'x', '--url', address], {})).code).toBe(5);
    expect((await told(['health', '--url', address], {})).code).toBe(5);
    for (const more of [['--cacert', at('right.pem')], []]) {
      const env: Record<string, string> = more.length === 0 ? { VAULT_CAPATH: at('authorities') } : {};
      expect((await told(['token', '--client-id', 'x', '--url', address, ...more], env)).err).toContain('invalid_client');
      expect((await told(['health', '--url', address, ...more], env)).code).toBe(0);
    }
  });
});
