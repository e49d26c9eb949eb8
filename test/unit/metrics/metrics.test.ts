import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { CallTimes } from '#broker/metrics/call-times.ts';
import { Distribution } from '#broker/metrics/distribution.ts';
import { ExchangeCounts } from '#broker/metrics/exchange-counts.ts';
import { Exposition } from '#broker/metrics/exposition.ts';
import { counter, gauge, histogram } from '#broker/metrics/metric.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import { operationOf } from '#broker/vault/operation.ts';
import { VaultFault } from '#broker/vault-fault.ts';

type Granted = Parameters<ExchangeCounts['granted']>;
const attempt = (more: object = {}): Granted[0] =>
  ({ door: 'token', startedAt: performance.now(), waited: false, address: '192.0.2.7', trace: {}, ...more }) as unknown as Granted[0];
const served = (api: string, tenant: string, from = 'memory'): Granted[1] =>
  ({ from, grant: { api, tenant, source: 'auth0' } }) as unknown as Granted[1];
const seriesOf = (metrics: readonly Metric[]): number => metrics.reduce((sum, { values }) => sum + values.length, 0);
const named = (metrics: readonly Metric[], name: string) => metrics.find((metric) => metric.name === name)?.values ?? [];

test('a time counts in the bucket whose bound it does not exceed, and what no bound has in the last', () => {
  const distribution = new Distribution();
  for (const ms of [0.5, 0.51, 10, 10_001, -1, Number.NaN]) distribution.observe(ms);
  const { values } = histogram('x_seconds', 'x', [[{ a: 'b' }, distribution]]);
  const at = (le: string) => values.find(({ labels }) => labels['le'] === le)?.value;
  expect([at('0.0005'), at('0.001'), at('0.01'), at('10'), at('+Inf')]).toEqual([3, 4, 5, 5, 6]);
  expect(values.find(({ metricName }) => metricName === 'x_seconds_count')?.value).toBe(6);
  expect(values.find(({ metricName }) => metricName === 'x_seconds_sum')?.value).toBeCloseTo(0.00051 + 0.0005 + 0.01 + 10.001);
});

test('exchanges are told by door, outcome, error, API and source, and hits apart from what waited', () => {
  const counts = new ExchangeCounts();
  counts.granted(attempt(), served('orders', 'acme'));
  counts.granted(attempt(), served('orders', 'acme'));
  counts.granted(attempt({ door: 'verify', waited: true }), served('orders', 'acme', 'source'));
  counts.refused(attempt(), new PosternError('invalid_client', 'x'));
  counts.refused(attempt({ trace: { grant: { api: 'orders' } } }), new Error('boom'));
  counts.presented('token.introspection', 'active');
  counts.presented('token.revocation', 'refused', new PosternError('invalid_client', 'x'));
  const metrics = counts.metrics();
  expect(named(metrics, 'postern_exchanges_total')).toEqual([
    { labels: { door: 'token', outcome: 'granted', error: '', api: 'orders', source: 'memory' }, value: 2 },
    { labels: { door: 'verify', outcome: 'granted', error: '', api: 'orders', source: 'auth0' }, value: 1 },
    { labels: { door: 'token', outcome: 'refused', error: 'internal', api: 'orders', source: '' }, value: 1 },
    { labels: { door: 'token', outcome: 'refused', error: 'invalid_client', api: '', source: '' }, value: 1 },
  ]);
  expect(named(metrics, 'postern_presented_tokens_total')).toEqual([
    { labels: { event: 'introspection', outcome: 'active', error: '' }, value: 1 },
    { labels: { event: 'revocation', outcome: 'refused', error: 'invalid_client' }, value: 1 },
  ]);
  const count = (path: string) =>
    named(metrics, 'postern_exchange_duration_seconds').find(
      ({ labels, metricName }) => labels['path'] === path && metricName?.endsWith('_count'),
    )?.value;
  expect([count('hit'), count('cold'), count('refused')]).toEqual([2, 1, 2]);
  expect(named(metrics, 'postern_tenant_exchanges_total')).toEqual([]);
});

test('100,000 tenants and 5,000 APIs, each by every door, have fewer than 5,000 series, and none is lost', () => {
  const counts = new ExchangeCounts(1_000);
  const doors = ['token', 'exchange', 'jwt-bearer', 'verify'];
  for (let i = 0; i < 100_000; i++) counts.granted(attempt({ door: doors[i % 4] }), served(`api${i % 5_000}`, `t${i}`));
  for (let i = 0; i < 10; i++) counts.granted(attempt(), served('api1', 't777'));
  const metrics = counts.metrics();
  expect(seriesOf(metrics)).toBeLessThan(3_000);
  const exchanges = named(metrics, 'postern_exchanges_total');
  expect(exchanges.reduce((sum, { value }) => sum + value, 0)).toBe(100_010);
  expect(exchanges.some(({ labels }) => labels['api'] === 'other')).toBe(true);
  const tenants = named(metrics, 'postern_tenant_exchanges_total');
  expect(tenants).toHaveLength(1_000);
  expect(tenants[0]).toEqual({ labels: { tenant: 't777' }, value: 11 });
});

test('calls are told by what was asked for and how it ended', () => {
  const times = new CallTimes('x_seconds', 'x', 'operation');
  times.observe('read', 3, undefined);
  times.observe('read', 3, new VaultFault('not_found', 'x', { status: 404, isEmpty: true }));
  times.observe('login', 3, new VaultFault('invalid', 'x', { status: 400 }));
  times.observe('login', 3, new VaultFault('timeout', 'x'));
  times.observe('login', 3, new PosternError('temporarily_unavailable', 'x'));
  times.observe('login', 3, new Error('x'));
  const counts = times
    .metric()
    .values.flatMap(({ labels, metricName, value }) => (metricName?.endsWith('_count') ? [[labels, value]] : []));
  expect(counts).toEqual([
    [{ operation: 'read', outcome: 'ok' }, 2],
    [{ operation: 'login', outcome: 'refused' }, 2],
    [{ operation: 'login', outcome: 'unavailable' }, 2],
  ]);
});

test.each([
  ['POST', 'auth/approle/login', 'login'],
  ['POST', 'auth/postern-assertion/acme/login', 'login'],
  ['POST', 'auth/token/renew-self', 'renew'],
  ['GET', 'auth/token/lookup-self', 'lookup'],
  ['POST', 'transit/sign/postern/sha2-256', 'sign'],
  ['GET', 'postern/data/tenants/login', 'read'],
  ['LIST', 'postern/metadata/apis', 'list'],
  ['POST', 'postern-tokens/data/acme/orders', 'write'],
  ['DELETE', 'postern-tokens/metadata/acme/orders', 'delete'],
])('%s %s is a %s', (method, path, operation) => {
  expect(operationOf(method, path)).toBe(operation);
});

test('both forms of text: names, escapes and the end are right, whichever was asked for before', async () => {
  const distribution = new Distribution();
  distribution.observe(3);
  const exposition = new Exposition(() => [
    gauge('a_ratio', 'A "help"\nof two lines', 0.5, { api: 'quote " back \\ line\n' }),
    gauge('absent', 'Not known now', undefined),
    counter('b_total', 'B', 7),
    histogram('c_seconds', 'C', [[{ path: 'hit' }, distribution]]),
  ]);
  for (let turn = 0; turn < 2; turn++) {
    const open = await exposition.render('application/openmetrics-text;version=1.0.0,text/plain;q=0.5');
    expect(open.type).toBe(Registry.OPENMETRICS_CONTENT_TYPE);
    expect(open.body).toMatch(/^# TYPE b counter\nb_total 7$/m);
    expect(open.body).toMatch(/\n# EOF\n$/);
    expect(open.body).not.toContain('_total_total');
    expect(open.body).toMatch(/^process_cpu_seconds_total \d/m);
    const plain = await exposition.render('text/plain');
    expect(plain.type).toBe(Registry.PROMETHEUS_CONTENT_TYPE);
    expect(plain.body).toMatch(/^# TYPE b_total counter\nb_total 7$/m);
    for (const { body } of [open, plain]) {
      expect(body).toContain('# HELP a_ratio A "help"\\nof two lines\n');
      expect(body).toContain('a_ratio{api="quote \\" back \\\\ line\\n"} 0.5\n');
      expect(body).toContain('c_seconds_bucket{path="hit",le="0.0025"} 0\n');
      expect(body).toContain('c_seconds_bucket{path="hit",le="0.005"} 1\n');
      expect(body).toMatch(/^process_cpu_seconds_total \d/m);
      expect(body).toMatch(/^nodejs_eventloop_lag_seconds \d/m);
    }
  }
  const [one, two] = await Promise.all([exposition.render(undefined), exposition.render(undefined)]);
  expect(one).toBe(two);
});
