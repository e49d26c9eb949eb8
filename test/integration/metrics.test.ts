import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '#dev/port.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { labelsIn, metricsIn, panelQueries } from '#test/fixture/dashboards.ts';
import { registeredSecrets } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { checkout } from '#tools/part/version.ts';

/* What a real broker tells of itself, by both listeners, and what it tells of nobody. */

const ORDERS = { audience: 'https://orders.example.com' };
/** Of those that a dashboard shows: they need an audit that knows what it holds, and a store of limits. */
const ABSENT = new Set([
  'postern_audit_lost_lines_total',
  'postern_audit_held_bytes',
  'postern_limits_counted_total',
  'postern_limits_store_available',
]);
let house: House;
let replica: LocalReplica;
let acme: Credential;
let metrics: string;

beforeAll(async () => {
  house = await startHouse({ admin: true });
  const port = await freePort();
  metrics = `http://127.0.0.1:${port}/metrics`;
  replica = await house.startReplica({ env: { POSTERN_METRICS_LISTEN: `127.0.0.1:${port}`, POSTERN_METRICS_TENANTS: '1' } });
  acme = await house.issueSecret('acme');
}, 120_000);
afterAll(() => house?.stop());

const look = async (accept = 'text/plain'): Promise<string> => (await fetch(metrics, { headers: { accept } })).text();
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const typesOf = (text: string): string[] => [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name ?? '');
/** The sum of all series of a name that have these labels. */
const valueOf = (text: string, name: string, labels: Readonly<Record<string, string>> = {}): number =>
  lines(text)
    .filter(
      (line) => new RegExp(`^${name}[ {]`).test(line) && Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)),
    )
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  fetch(new URL(path, replica.issuer), {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
  }).then((answer) => answer.text());

test('tells a cold exchange, a hit and a refusal apart, and what of Vault and Auth0 they cost', async () => {
  const before = await look();
  expect((await exchange(replica, acme, ORDERS)).status).toBe(200);
  for (let i = 0; i < 3; i++) expect((await exchange(replica, acme, ORDERS)).status).toBe(200);
  expect((await exchange(replica, { ...acme, client_secret: 'wrong' }, ORDERS)).status).toBe(401);
  const after = await look();
  const grew = (name: string, labels?: Record<string, string>) => valueOf(after, name, labels) - valueOf(before, name, labels);
  expect(grew('postern_exchanges_total', { door: 'token', outcome: 'granted', api: 'orders', source: 'auth0' })).toBe(1);
  expect(grew('postern_exchanges_total', { door: 'token', outcome: 'granted', api: 'orders', source: 'memory' })).toBe(3);
  expect(grew('postern_exchanges_total', { outcome: 'refused', error: 'invalid_client' })).toBe(1);
  expect(grew('postern_exchange_duration_seconds_count', { path: 'hit' })).toBe(3);
  expect(grew('postern_exchange_duration_seconds_count', { path: 'cold' })).toBe(1);
  expect(grew('postern_exchange_duration_seconds_bucket', { path: 'cold', le: '+Inf' })).toBe(1);
  expect(grew('postern_source_request_duration_seconds_count', { source: 'auth0', outcome: 'ok' })).toBe(1);
  expect(grew('postern_vault_request_duration_seconds_count', { operation: 'login', outcome: 'ok' })).toBe(1);
  expect(grew('postern_vault_request_duration_seconds_count', { operation: 'login', outcome: 'refused' })).toBe(1);
  expect(valueOf(after, 'postern_tenant_exchanges_total', { tenant: 'acme' })).toBe(4);
  expect(valueOf(after, 'postern_cached_tokens')).toBe(1);
  expect(valueOf(after, 'postern_verified_credentials')).toBe(1);
  expect(valueOf(after, 'postern_ready')).toBe(1);
  expect(valueOf(after, 'postern_vault_available')).toBe(1);
  expect(valueOf(after, 'postern_source_available', { source: 'auth0' })).toBe(1);
  expect(valueOf(after, 'postern_announcements_age_seconds')).toBeLessThan(30);
  expect(valueOf(after, 'postern_vault_token_remaining_seconds')).toBeGreaterThan(60);
  const idle = connect(Number(new URL(replica.issuer).port), '127.0.0.1');
  await once(idle, 'connect');
  await expect.poll(async () => valueOf(await look(), 'postern_connections')).toBeGreaterThan(0);
  idle.destroy();
});

test('docs/metrics.md has each of them and no other; names and units are as Prometheus wants them', async () => {
  const text = await look();
  const told = typesOf(text).filter((name) => name.startsWith('postern_'));
  const page = await readFile(join(checkout, 'docs/metrics.md'), 'utf8');
  const documented = [...page.matchAll(/^\| `(postern_\w+)` \|/gm)].map(([, name]) => name ?? '');
  // They need an audit that knows what it holds, which the tests' own does not, and a store of limits, as rate-limits.test.ts has.
  const only = ['postern_audit_lost_lines_total', 'postern_limits_counted_total', 'postern_limits_store_available'];
  expect([...told, ...only.filter((name) => !told.includes(name))].sort()).toEqual(documented.toSorted());
  for (const [, name = '', type] of text.matchAll(/^# TYPE (postern_\w+) (\w+)$/gm)) {
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    if (type === 'histogram') expect(name).toMatch(/_seconds$/);
  }
  const open = await look('application/openmetrics-text');
  expect(open).toMatch(/\n# EOF\n$/);
  expect(typesOf(open).some((name) => name.endsWith('_total'))).toBe(false);
});

test("dashboards ask for nothing that isn't told: metrics, their labels, and the values that are asked for", async () => {
  const text = await look();
  const told = new Set(typesOf(text));
  const page = await readFile(join(checkout, 'docs/metrics.md'), 'utf8');
  // The plugin is not a broker: plugin-engine.test.ts.
  for (const query of (await panelQueries()).filter(({ file }) => file !== 'plugin.json')) {
    const asked = metricsIn(query.expr).filter((name) => !ABSENT.has(name) && name !== 'ALERTS');
    const what = `${query.file}, ${query.panel}: ${query.expr}`;
    expect(
      asked.filter((name) => !told.has(name.replace(/_(bucket|count|sum)$/, ''))),
      what,
    ).toEqual([]);
    const series = lines(text).filter((line) => asked.some((name) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)));
    // What hasn't happened yet has no series.
    if (series.length > 0)
      expect(
        labelsIn(query).filter((label) => !series.some((line) => line.includes(`${label}="`))),
        what,
      ).toEqual([]);
    for (const [, value = ''] of query.expr.matchAll(/(?:path|source|outcome|level)!?="(\w+)"/g))
      expect(page, what).toContain(`\`${value}\``);
  }
});

test('whatever strangers send: few series, and nothing of theirs, of a key, a secret or an address in them', async () => {
  const words: string[] = [];
  const word = (): string => {
    const made = `canary${randomBytes(9).toString('hex')}`;
    words.push(made);
    return made;
  };
  const one = async (): Promise<void> => {
    const [id, secret, audience, scope, path] = [word(), word(), word(), word(), word()];
    const client = `client_id=${id}&client_secret=${secret}`;
    await post('/oauth/token', `grant_type=client_credentials&${client}&audience=${audience}&scope=${scope}`);
    await post('/oauth/token', `grant_type=${id}&${client}`, { authorization: `Basic ${btoa(`${id}:${secret}`)}` });
    await post(
      '/oauth/token',
      `grant_type=client_credentials&client_id=${acme.client_id}&client_secret=${acme.client_secret}&audience=${audience}`,
    );
    await post('/oauth/introspect', `token=${secret}&${client}`);
    await post(`/verify/${path}?audience=${audience}`, '', { 'x-api-key': secret, 'x-forwarded-for': '203.0.113.99' });
    await post(`/${path}`, secret);
  };
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 10 }, one));
  for (const text of [await look(), await look('application/openmetrics-text')]) {
    expect(lines(text).length).toBeLessThan(1_000);
    for (const told of [...words, '203.0.113.99', '127.0.0.1', acme.client_id, acme.client_secret]) expect(text.includes(told)).toBe(false);
    for (const secret of registeredSecrets()) expect(text.includes(secret.value), secret.kind).toBe(false);
  }
});

test('its own listener tells nothing else, and the admin one tells it to whoever may look', async () => {
  expect((await fetch(new URL('/other', metrics))).status).toBe(404);
  expect((await fetch(metrics, { method: 'POST' })).status).toBe(405);
  const head = await fetch(metrics, { method: 'HEAD' });
  expect({ status: head.status, body: await head.text() }).toEqual({ status: 200, body: '' });
  expect((await fetch(new URL('/metrics', replica.issuer))).status).toBe(404);
  const admin = new URL('/metrics', replica.admin);
  expect((await fetch(admin)).status).toBe(401);
  const told = await fetch(admin, { headers: { 'X-Vault-Token': await vaultToken(house, 'postern-auditor') } });
  expect(told.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await told.text()).toContain('postern_exchanges_total{');
  const nobody = await house.root.write('auth/token/create', { policies: ['default'], ttl: '1m' });
  expect((await fetch(admin, { headers: { 'X-Vault-Token': String(nobody.auth?.['client_token']) } })).status).toBe(403);
});
