import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FetchFault, fetchJson } from '#broker/issuer/fetch.ts';
import type { FetchOptions } from '#broker/issuer/fetch.ts';
import { isPublicAddress } from '#broker/issuer/public-address.ts';

let server: Server;
let port = 0;
let caPem = '';
let requests = 0;
let answer: (response: ServerResponse) => void = (response) => void response.end('{"a":1}');

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-issuer-'));
  const [key, certificate] = [join(folder, 'key'), join(folder, 'cert')];
  const subject = ['-subj', '/CN=issuer', '-addext', 'subjectAltName=DNS:localhost,DNS:issuer.example.com,IP:127.0.0.1'];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', ...made, ...subject], { stdio: 'ignore' });
  caPem = readFileSync(certificate, 'utf8');
  server = createServer({ key: readFileSync(key), cert: caPem }, (_request, response) => {
    requests++;
    answer(response);
  });
  rmSync(folder, { recursive: true });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  server.on('connection', () => connections++);
  port = (server.address() as AddressInfo).port;
});
afterAll(() => void server.close());
let connections = 0;

const get = (address: string, more: Partial<FetchOptions> = {}): Promise<unknown> =>
  fetchJson(address, { caPem, privateHosts: ['localhost'], timeoutMs: 1_000, maxBytes: 4_096, ...more });

test('a document of a host that may be private', async () => {
  expect(await get(`https://localhost:${port}/x`)).toEqual({ a: 1 });
});

test('500 hostile issuers: no connection is made', async () => {
  const before = connections;
  const inside = [
    '127.0.0.1',
    '127.1',
    '0x7f.0.0.1',
    '2130706433',
    '0177.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '0.0.0.0',
    '[::]',
  ];
  const others = [
    '10.0.0.1',
    '169.254.169.254',
    '192.168.1.1',
    '100.64.0.1',
    '[fe80::1]',
    '[fd00::1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
  ];
  const names = ['localhost', 'issuer.example.com', 'metadata.google.internal', 'a.localhost'];
  const paths = [
    '/x',
    '/.well-known/openid-configuration',
    '/x?y#z',
    '//127.0.0.1/',
    '/@evil',
    '/%2e%2e/',
    '/latest/meta-data/',
    '/\\evil',
    '/x;y',
    '/',
  ];
  const schemes = ['https://', 'http://', 'https://user:pass@'];
  const hostile = schemes.flatMap((scheme) =>
    [...inside, ...others, ...names].flatMap((host) => paths.map((path) => `${scheme}${host}:${port}${path}`)),
  );
  const resolve = ((_name: string, _options: unknown, done: (error: null, found: { address: string; family: number }[]) => void) =>
    done(null, [
      { address: '93.184.216.34', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ])) as unknown as NonNullable<FetchOptions['resolve']>;
  expect(hostile.length).toBeGreaterThanOrEqual(500);
  for (const address of hostile) await expect(get(address, { privateHosts: [], resolve })).rejects.toBeInstanceOf(FetchFault);
  expect(connections).toBe(before);
});

test('a name that answers differently the second time is connected to as it was looked at', async () => {
  let asked = 0;
  const resolve = ((_name: string, _options: unknown, done: (error: null, found: { address: string; family: number }[]) => void) =>
    done(null, [{ address: asked++ === 0 ? '192.0.2.1' : '127.0.0.1', family: 4 }])) as unknown as NonNullable<FetchOptions['resolve']>;
  const before = connections;
  await expect(get(`https://issuer.example.com:${port}/x`, { privateHosts: [], resolve })).rejects.toBeInstanceOf(FetchFault);
  expect([asked, connections]).toEqual([1, before]);
});

test.each<[string, (response: ServerResponse) => void]>([
  ['redirects', (response) => void response.writeHead(302, { location: `https://localhost:${port}/inside` }).end()],
  ['is too large', (response) => void response.end(JSON.stringify({ a: 'x'.repeat(100_000) }))],
  ['never ends', (response) => void response.write('{"a":')],
  ['never begins', () => {}],
  ['is no JSON', (response) => void response.end('<html>')],
  ['fails', (response) => void response.writeHead(500).end('{}')],
  ['has huge headers', (response) => void response.writeHead(200, { x: 'y'.repeat(40_000) }).end('{}')],
])('an answer that %s is none', async (_what, how) => {
  answer = how;
  const before = requests;
  await expect(get(`https://localhost:${port}/x`)).rejects.toBeInstanceOf(FetchFault);
  expect(requests).toBe(before + 1);
});

test.each(['1.1.1.1', '93.184.216.34', '2606:4700::1111'])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));
test.each([
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '127.0.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '192.0.0.1',
  '192.0.2.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:8.8.8.8',
  '::8.8.8.8',
  '64:ff9b::808:808',
  '64:ff9b:1::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::',
  'fc00::1',
  'fd00::1',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '5f00::1',
  'x',
  '',
])('%s is not', (address) => expect(isPublicAddress(address)).toBe(false));
