import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '#dev/port.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import { panelQueries, withVariables } from '#test/fixture/dashboards.ts';
import type { PanelQuery } from '#test/fixture/dashboards.ts';
import { findPrometheus } from '#test/part/prometheus.ts';
import { svg } from '#test/simulation/scale/plot.ts';
import type { PlotOptions } from '#test/simulation/scale/plot.ts';
import { checkout } from '#tools/part/version.ts';

/*
 * Draws the service dashboard's own queries, as a real Prometheus answers them: two brokers under traffic that is like customers', which
 * Auth0 answers slowly and then Vault not at all.
 */

const HELP = `Usage: node test/bench/dashboard.ts [--seconds N] [--out FILE]

Draws docs/dashboard.svg: what the queries of deploy/observability/dashboards/service.json show of two brokers whose Auth0 is slow in the
second quarter of the time, and whose Vault is sealed in the third.
`;
const PANELS = [
  'By door and outcome',
  'Where tokens come from',
  'How long an exchange takes',
  'Requests to Vault',
  'Brokers that Vault answers',
  'Processor time',
];
/** Lines of one panel: those that reach highest. */
const LINES = 4;
const RANGE = '10s';
const AUDIENCES = ['https://orders.example.com', 'https://reports.example.com'];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    out: { type: 'string', default: join(checkout, 'docs/dashboard.svg') },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const seconds = Number(values.seconds);

const tenants = Array.from({ length: 24 }, (_, at) => `customer-${at}`);
await using house = await startHouse({
  apis: {
    orders: { audience: AUDIENCES[0]!, source: 'auth0', scopes: ['read'] },
    reports: { audience: AUDIENCES[1]!, source: 'transit', scopes: ['read'] },
  },
  tenants: Object.fromEntries(
    tenants.map((tenant) => [tenant, { grants: ['orders', 'reports'].map((api) => ({ api, scopes: ['read'] })) }]),
  ),
});
const ports = [await freePort(), await freePort()];
const replicas = await Promise.all(
  ports.map((port) => house.startReplica({ env: { POSTERN_METRICS_LISTEN: `127.0.0.1:${port}`, POSTERN_THROTTLE_ADDRESS: '1000000' } })),
);
const customers = await Promise.all(tenants.map((tenant) => house.issueSecret(tenant)));

const folder = await mkdtemp(join(tmpdir(), 'postern-dashboard-'));
const address = `127.0.0.1:${await freePort()}`;
await writeFile(
  join(folder, 'prometheus.yaml'),
  `global: { scrape_interval: 1s }\nscrape_configs: [{ job_name: postern, static_configs: [{ targets: [${ports.map((port) => `'127.0.0.1:${port}'`).join(', ')}] }] }]\n`,
);
const { path } = await findPrometheus('prometheus');
const prometheus = spawn(
  path,
  [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${address}`],
  { stdio: 'ignore' },
);
try {
  process.stderr.write(`dashboard: ${seconds} s of traffic\n`);
  const begun = Date.now();
  const until = begun + seconds * 1000;
  const driving = drive(until);
  await sleep(seconds * 250);
  house.auth0.faults.set({ kind: 'delay', milliseconds: 1_500 }, { endpoint: 'token' });
  await sleep(seconds * 250);
  house.auth0.faults.clear();
  await house.root.write('sys/seal');
  await sleep(seconds * 250);
  await house.root.write('sys/unseal', { key: house.vault.unsealKey });
  await driving;
  await writeFile(values.out, svg(await plots(begun / 1000 + 12, until / 1000)));
  process.stderr.write(`${values.out}\n`);
} finally {
  prometheus.kill('SIGTERM');
  await once(prometheus, 'exit');
  await rm(folder, { recursive: true, force: true });
}

/** Most ask for what they have; a few are new, and some have a wrong secret. */
async function drive(until: number): Promise<void> {
  for (let turn = 0; Date.now() < until; turn++) {
    const known = Math.min(customers.length, 4 + Math.floor(turn / 12));
    await Promise.allSettled(
      replicas.flatMap((replica, at) =>
        Array.from({ length: 10 }, async (_, n) => {
          const customer = customers[(turn * 7 + n * 3 + at) % known]!;
          const guess = n === 0 && turn % 5 === 0;
          await exchange(replica, guess ? { ...customer, client_secret: 'wrong' } : customer, { audience: AUDIENCES[(turn + n) % 2]! });
        }),
      ),
    );
    await sleep(100);
  }
}

async function plots(from: number, to: number): Promise<PlotOptions[]> {
  const queries = (await panelQueries()).filter(({ file }) => file === 'service.json');
  return Promise.all(
    PANELS.map(async (panel) => {
      const own = queries.filter((one) => one.panel === panel);
      if (own.length === 0) throw new Error(`service.json has no panel "${panel}"`);
      const series = (await Promise.all(own.map((one) => lines(one, from, to)))).flat();
      const most = (line: readonly number[]): number => Math.max(...line);
      return {
        title: panel,
        unit: own[0]?.unit === 'reqps' ? 'a second' : own[0]?.unit === 's' ? 'seconds' : 'number',
        ticks: [0, 0.25, 0.5, 0.75, 1].map((part) => {
          const at = Math.round(part * (to - from));
          return [at, `${at} s`] as const;
        }),
        series: series.sort((a, b) => most(b.values) - most(a.values)).slice(0, LINES),
      };
    }),
  );
}

/** As somebody would call it. */
function nameOf(instance = ''): string {
  return `broker ${ports.findIndex((port) => instance.endsWith(`:${port}`)) + 1}`;
}

interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [at: number, value: string])[];
}

async function lines({ expr, legend = '' }: PanelQuery, from: number, to: number): Promise<{ name: string; values: number[] }[]> {
  const asked = new URLSearchParams({ query: withVariables(expr, RANGE), start: String(from), end: String(to), step: '1' });
  const reply = await fetch(`http://${address}/api/v1/query_range?${asked}`);
  const { data } = (await reply.json()) as { data: { result: readonly Found[] } };
  return data.result.map(({ metric, values: seen }) => {
    const at = new Map(seen.map(([time, value]) => [Math.round(time - from), Number(value)]));
    return {
      name: legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) =>
        label === 'instance' ? nameOf(metric[label]) : (metric[label] ?? ''),
      ),
      values: Array.from({ length: Math.round(to - from) + 1 }, (_, second) => {
        const value = at.get(second) ?? 0;
        return Number.isFinite(value) ? value : 0;
      }),
    };
  });
}
