import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '#dev/port.ts';
import { TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, Replica } from '#test/fixture/broker.ts';
import { panelQueries, withVariables } from '#test/fixture/dashboards.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { findPrometheus } from '#test/part/prometheus.ts';
import { checkout } from '#tools/part/version.ts';

/* The rules of deploy/observability: held by promtool, and by a real Prometheus that scrapes real brokers while something goes wrong. */

const ORDERS = { audience: 'https://orders.example.com' };
const FOLDER = join(checkout, 'deploy/observability');
/** By default every wait of the rules is a tenth, so that the suite needn't stand still for them. */
const WHOLE = process.env['POSTERN_TEST_ALERTS'] === 'whole';
/** They say how busy the machine is; where tests share its cores, that is true. */
const OF_THE_MACHINE = new Set(['PosternEventLoopLags', 'PosternHitsSlow', 'PosternHitsSlowSlowly']);

interface Rules {
  groups: { rules: { alert?: string; record?: string; expr: string; annotations?: { runbook_url: string } }[] }[];
}

const rulesText = await readFile(join(FOLDER, 'alerts.yaml'), 'utf8');
const rules = (parse(rulesText) as Rules).groups.flatMap((group) => group.rules);
const alerts = rules.flatMap(({ alert, ...rule }) => (alert === undefined ? [] : [{ alert, ...rule }]));

describe('the rules', () => {
  test('are held by promtool, each alert by a case of its own', async () => {
    const promtool = await findPrometheus('promtool');
    const ran = await execa(promtool.path, ['test', 'rules', 'alerts.test.yaml'], { cwd: FOLDER, all: true, reject: false });
    expect(ran.exitCode, ran.all).toBe(0);
    const cases = await readFile(join(FOLDER, 'alerts.test.yaml'), 'utf8');
    expect(alerts.filter(({ alert }) => !cases.includes(`alertname="${alert}"`)).map(({ alert }) => alert)).toEqual([]);
  }, 120_000);

  test('have a section each in docs/alerts.md, to which they lead, and docs/alerts.md has no other', async () => {
    const headings = [...(await readFile(join(checkout, 'docs/alerts.md'), 'utf8')).matchAll(/^## (Postern\w+)$/gm)].map(
      ([, name]) => name,
    );
    const led = new Set(alerts.map(({ annotations }) => annotations?.runbook_url));
    expect(new Set(headings.map((name) => `docs/alerts.md#${name?.toLowerCase()}`))).toEqual(led);
  });

  test('speak only of metrics that a broker tells, and of each other', async () => {
    const told = await readFile(join(checkout, 'docs/metrics.md'), 'utf8');
    const recorded = new Set(rules.map(({ record }) => record));
    const named = new Set(rules.flatMap(({ expr }) => expr.match(/\bpostern[a-z0-9_:]+/g) ?? []));
    named.delete('postern');
    const unknown = [...named].filter((name) => !recorded.has(name) && !told.includes(`\`${name.replace(/_(bucket|count|sum)$/, '')}\``));
    expect(unknown).toEqual([]);
  });
});

describe('a real Prometheus and three brokers', () => {
  let house: House;
  let folder: string;
  let prometheus: ReturnType<typeof spawn>;
  let address: string;
  const replicas: Replica[] = [];
  const instances: string[] = [];
  let customers: Credential[];
  let syslog: Awaited<ReturnType<typeof startReceiver>>;
  let traffic = true;
  let driving: Promise<void>;

  beforeAll(async () => {
    const tenants = Array.from({ length: 4 }, (_, n) => `customer-${n}`);
    house = await startHouse({ tenants: Object.fromEntries(tenants.map((tenant) => [tenant, { grants: TENANTS.acme.grants }])) });
    syslog = await startReceiver();
    for (let i = 0; i < 3; i++) {
      const port = await freePort();
      instances.push(`127.0.0.1:${port}`);
      const env: Record<string, string> = { POSTERN_METRICS_LISTEN: `127.0.0.1:${port}` };
      replicas.push(await house.startReplica({ env }));
    }
    customers = await Promise.all(tenants.slice(0, 3).map((tenant) => house.issueSecret(tenant)));
    folder = await mkdtemp(join(tmpdir(), 'postern-alerts-'));
    await writeFile(join(folder, 'alerts.yaml'), WHOLE ? rulesText : quick(rulesText));
    const targets = instances.map((one) => `'${one}'`).join(', ');
    await writeFile(
      join(folder, 'prometheus.yaml'),
      `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [alerts.yaml]\n` +
        `scrape_configs: [{ job_name: postern, static_configs: [{ targets: [${targets}] }] }]\n`,
    );
    address = `127.0.0.1:${await freePort()}`;
    const { path } = await findPrometheus('prometheus');
    prometheus = spawn(
      path,
      [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${address}`],
      { stdio: 'ignore' },
    );
    driving = drive();
    for (const until = Date.now() + 30_000; Date.now() < until && !(await isUp());) await sleep(100);
  }, 240_000);
  afterAll(async () => {
    traffic = false;
    await driving;
    if (prometheus?.exitCode === null) {
      prometheus.kill('SIGTERM');
      await once(prometheus, 'exit');
    }
    await syslog?.[Symbol.asyncDispose]();
    await house?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** Customers who have tokens ask again and again, at every broker. */
  async function drive(): Promise<void> {
    while (traffic) {
      await Promise.all(replicas.flatMap((replica) => customers.map((customer) => exchange(replica, customer, ORDERS).catch(() => {}))));
      await sleep(200);
    }
  }

  /** `alert instance`, sorted, without what is the machine's. */
  async function firing(): Promise<string[]> {
    const reply = await fetch(`http://${address}/api/v1/alerts`);
    const { data } = (await reply.json()) as { data: { alerts: { state: string; labels: Record<string, string> }[] } };
    return data.alerts
      .filter(({ state, labels }) => state === 'firing' && !OF_THE_MACHINE.has(labels['alertname'] ?? ''))
      .map(({ labels }) => [labels['alertname'], labels['instance'] ?? labels['source']].join(' '))
      .sort();
  }

  const isUp = (): Promise<boolean> =>
    firing().then(
      () => true,
      () => false,
    );
  const onAll = (alert: string): string[] => instances.map((one) => `${alert} ${one}`).sort();

  test('nothing fires while all is well', async () => {
    await sleep(5_000);
    expect(await firing()).toEqual([]);
  });

  test('each query of the dashboards is one that Prometheus takes, and what brokers always tell gives lines', async () => {
    const always = ['Exchanges', 'By door and outcome', 'How long an exchange takes', 'Requests to Vault', 'Memory', 'Processor time'].map(
      (panel) => `service.json ${panel}`,
    );
    always.push('upstream.json Tokens asked of sources');
    const empty = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const { file, panel, expr } of await panelQueries()) {
        const query = withVariables(expr, '10s');
        const reply = await fetch(`http://${address}/api/v1/query?${new URLSearchParams({ query })}`);
        const told = (await reply.json()) as { status: string; error?: string; data?: { result: unknown[] } };
        expect(told, `${file}, ${panel}: ${query}`).toMatchObject({ status: 'success' });
        if (told.data?.result.length === 0) found.push(`${file} ${panel}`);
      }
      return found.filter((one) => always.includes(one));
    };
    // A Prometheus that has just started has looked at nobody yet.
    await expect.poll(empty, { timeout: 60_000, interval: 1_000 }).toEqual([]);
  }, 120_000);

  test('Vault is sealed: that fires within two minutes, and nothing else; then all is quiet again', async () => {
    const begun = performance.now();
    await house.root.write('sys/seal');
    // Nobody sees it until somebody new asks.
    const stranger = {
      client_id: '7d3f6a52-0d0e-4d6e-9e0f-0a8b8b1f7a11',
      client_secret: 'f1d7c8c0-5a4e-4a38-8b64-2f5d6a8a9b10',
      accessor: '',
    };
    const asking = setInterval(() => void Promise.allSettled(replicas.map((replica) => exchange(replica, stranger, ORDERS))), 300);
    await expect.poll(firing, { timeout: 120_000, interval: 500 }).toEqual(onAll('PosternVaultAway'));
    tell('Vault sealed', begun);
    await sleep(3_000);
    expect(await firing()).toEqual(onAll('PosternVaultAway'));
    clearInterval(asking);
    await house.root.write('sys/unseal', { key: house.vault.unsealKey });
    await expect.poll(firing, { timeout: 60_000, interval: 500 }).toEqual([]);
  }, 240_000);

  test("the receiver of one broker's audit goes away: that broker alone fires", async () => {
    const instance = instances.pop()!;
    await replicas.pop()?.stop();
    // A process: a broker in this one hands its audit to the test.
    const env = { POSTERN_METRICS_LISTEN: instance, POSTERN_AUDIT_SYSLOG: `tcp://127.0.0.1:${syslog.port}` };
    replicas.push(await house.startReplicaProcess({ env }));
    instances.push(instance);
    await expect.poll(firing, { timeout: 30_000, interval: 500 }).toEqual([]);
    const begun = performance.now();
    await syslog.close();
    await expect.poll(firing, { timeout: 120_000, interval: 500 }).toEqual([`PosternAuditHeld ${instance}`]);
    tell('audit receiver away', begun);
    await syslog.open();
    await expect.poll(firing, { timeout: 60_000, interval: 500 }).toEqual([]);
  }, 240_000);

  test('the secret_id of one broker is near its end: that broker alone fires, and no more when it is given another', async () => {
    const instance = instances.pop()!;
    await replicas.pop()?.stop();
    const file = join(folder, 'secret-id');
    const give = async (ttl: string): Promise<void> => {
      const { data } = await house.root.write('auth/approle-broker/role/broker/secret-id', { ttl });
      const secretId = String(data?.['secret_id']);
      registerSecret('broker secret_id', secretId);
      await writeFile(file, secretId, { mode: 0o600 });
    };
    await give('20s');
    const env = { POSTERN_METRICS_LISTEN: instance, POSTERN_SECRET_ID: '', POSTERN_SECRET_ID_FILE: file };
    replicas.push(await house.startReplica({ env }));
    instances.push(instance);
    // Nine tenths of its life are no fault.
    const begun = performance.now() + 18_000;
    await expect.poll(firing, { timeout: 120_000, interval: 500 }).toEqual([`PosternSecretIdEnds ${instance}`]);
    expect(performance.now()).toBeGreaterThan(begun - 2_000);
    tell('secret_id near its end', begun);
    await give('1h');
    await expect.poll(firing, { timeout: 60_000, interval: 500 }).toEqual([]);
  }, 240_000);

  test('Auth0 answers 429: the source fires, and nothing else', async () => {
    const begun = performance.now();
    house.auth0.faults.set({ kind: 'rate_limit', retryAfter: 1 }, { endpoint: 'token' });
    const late = await house.issueSecret('customer-3');
    const asking = setInterval(() => void Promise.allSettled(replicas.map((replica) => exchange(replica, late, ORDERS))), 500);
    await expect.poll(firing, { timeout: 120_000, interval: 500 }).toEqual(['PosternIssuerFails auth0']);
    clearInterval(asking);
    tell('Auth0 429', begun);
    house.auth0.faults.clear();
  }, 240_000);

  test('a broker is killed: that fires', async () => {
    const begun = performance.now();
    await replicas.pop()?.stop();
    const instance = instances.pop()!;
    await expect
      .poll(async () => (await firing()).filter((one) => !one.endsWith('auth0')), { timeout: 150_000, interval: 500 })
      .toEqual([`PosternDown ${instance}`]);
    tell('a broker gone', begun);
  }, 240_000);
});

function tell(fault: string, begun: number): void {
  process.stderr.write(`${fault}: its alert fired after ${((performance.now() - begun) / 1000).toFixed(1)} s\n`);
}

/** The same rules with a tenth of each wait below an hour's windows. */
function quick(text: string): string {
  return text
    .replace(/for: (\d+)s/g, (_all, s: string) => `for: ${Math.ceil(Number(s) / 10)}s`)
    .replace(/for: (\d+)m/g, (_all, m: string) => `for: ${Number(m) * 6}s`)
    .replaceAll('[30s]', '[3s]')
    .replaceAll('[2m]', '[12s]');
}

/** Takes lines over TCP, and can be away. */
async function startReceiver() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
  });
  const open = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await open(0);
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port, close, open: () => open(port), [Symbol.asyncDispose]: close };
}
