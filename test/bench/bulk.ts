import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'undici';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';

const CLI = fileURLToPath(new URL('../../cli/postern.js', import.meta.url));
/** Has the command note what it used, at its end: /proc is gone by then. */
const WATCH =
  'data:text/javascript,import{writeFileSync}from"node:fs";process.on("exit",()=>{const{maxRSS,userCPUTime,systemCPUTime}=' +
  'process.resourceUsage();writeFileSync(process.env.BENCH_USAGE,JSON.stringify({maxRSS,cpu:userCPUTime+systemCPUTime}))})';
const STARTS = 9;

export interface BulkOptions {
  /** Tenants that are imported with a key each, and made by a loop beside it. */
  imported: number;
  /** Tenants that there are in the end. */
  tenants: number;
  report: (line: string) => void;
}

interface Ran {
  seconds: number;
  /** Of processor time. */
  cpu: number;
  /** Of Vault's, seconds. */
  vault: number;
  megabytes: number;
  code: number | null;
}

/**
 * The commands on many tenants, with an operator's token and Vault's file audit, on the stack's Vault: in memory, so
 * that no disk helps or hinders either side. What is compared with the import is a loop of exactly the calls that it needs, one after the
 * other over one connection, with the same token; the import's time is that of the whole command.
 */
export async function measureBulk(stack: Stack, { imported, tenants, report }: BulkOptions): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-bulk-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const made = await stack.client.write(
    'auth/token/create',
    { policies: ['postern-operator'], no_default_policy: true, ttl: '2h' },
    { token: stack.vault.rootToken },
  );
  const token = noteSecret('vault token', String(made.auth?.['client_token']));
  const far = await Promise.all([1, 5].map(async (late) => ({ late, ...(await relay(stack.vault.address, late)) })));
  for (const { close } of far) undo.defer(close);
  const { pid } = stack.vault;
  const postern = async (args: readonly string[], address = stack.vault.address): Promise<Ran> => {
    const before = await cpuOf(pid);
    const ran = await run(args, { address, token, folder });
    return { ...ran, vault: (await cpuOf(pid)) - before };
  };
  const lines: Line[] = [];
  for (const { late, address } of [{ late: 0, address: stack.vault.address }, ...far]) {
    const where = late === 0 ? '' : `, with a network of ${late} ms`;
    const name = `ms${late}`;
    report(`import of ${imported}${where}: a loop of its calls`);
    const loop = await inSequence(address, token, `loop-${name}`, imported);
    report(`import of ${imported}${where}: the command`);
    const file = join(folder, `${name}.csv`);
    await writeFile(file, rows(`import-${name}`, imported, 'key'));
    const ran = await postern(['tenant', 'import', file], address);
    lines.push({
      what: `import of ${imported} with a key each over its calls in sequence${where}`,
      goal: '≥ 4×',
      measured: `${(loop / ran.seconds).toFixed(2)}× (${ran.seconds.toFixed(1)} s beside ${loop.toFixed(1)} s; ${used(ran)})`,
      reached: ran.code === 0 && loop / ran.seconds >= 4,
    });
  }
  const more = tenants - 6 * imported - 2;
  if (more > 0) {
    report(`${more} more tenants`);
    const file = join(folder, 'more.csv');
    await writeFile(file, rows('more', more, ''));
    const ran = await postern(['tenant', 'import', file, '--parallel', '32']);
    if (ran.code !== 0) throw new Error(`the import ended with ${ran.code}`);
    lines.push({
      what: `import of ${more} without credentials`,
      goal: 'told',
      measured: `${ran.seconds.toFixed(1)} s, ${used(ran)}`,
      reached: true,
    });
  }
  const count = Math.max(tenants, 6 * imported + 2);
  for (const [args, goal] of [
    [['tenant', 'list', '--brief'], 5],
    [['tenant', 'list'], 5],
    [['tenant', 'list', '--json'], 5],
    [['tenant', 'list', '--limit', '100'], 5],
    [['key', 'prune'], 10],
    [['doctor'], 10],
    [['doctor', '--tenants', 'all'], 10],
  ] as const) {
    report(`postern ${args.join(' ')}`);
    const ran = await postern(args);
    lines.push({
      what: `postern ${args.join(' ')}, ${count} tenants`,
      goal: `≤ ${goal} s, ≤ 200 MB`,
      measured: `${ran.seconds.toFixed(1)} s, ${used(ran)}`,
      reached: ran.seconds <= goal && ran.megabytes <= 200,
    });
  }
  for (const [command, goal] of [
    ['--help', 0.25],
    ['whoami', 0.5],
  ] as const) {
    const all: Ran[] = [];
    // The first fills the cache of what is compiled.
    for (let start = 0; start <= STARTS; start += 1) all.push(await postern([command]));
    const of = (value: (ran: Ran) => number): number => median(all.slice(1).map(value));
    lines.push({
      what: `postern ${command}, from the sources, p50 of ${STARTS} starts`,
      goal: `≤ ${goal} s`,
      measured: `${of(({ seconds }) => seconds).toFixed(2)} s, ${of(({ cpu }) => cpu).toFixed(2)} s of CPU; the first ${all[0]!.seconds.toFixed(2)} s`,
      reached: of(({ seconds }) => seconds) <= goal,
    });
  }
  return lines;
}

const used = ({ cpu, vault, megabytes }: Ran): string =>
  `${cpu.toFixed(1)} s of CPU, ${vault.toFixed(1)} s of Vault's, ${Math.round(megabytes)} MB`;

/** Seconds of processor time that a process has had, on Linux; its clock ticks a hundred times a second. */
async function cpuOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [user = '0', system = '0'] = text.slice(text.lastIndexOf(')')).split(' ').slice(12, 14);
  return (Number(user) + Number(system)) / 100;
}

function rows(name: string, count: number, issue: string): string {
  const line = (at: number): string => `${name}-${at},orders=read:orders; reports=read:reports,${issue}`;
  return `tenant,grants,issue\n${Array.from({ length: count }, (_, at) => line(at)).join('\n')}\n`;
}

async function run(
  args: readonly string[],
  { address, token, folder }: { address: string; token: string; folder: string },
): Promise<Omit<Ran, 'vault'>> {
  const usage = join(folder, 'usage');
  const env = { PATH: process.env['PATH'], HOME: folder, VAULT_ADDR: address, VAULT_TOKEN: token, BENCH_USAGE: usage };
  const begun = performance.now();
  const child = spawn(process.execPath, ['--import', WATCH, CLI, ...args], { env, stdio: 'ignore' });
  const code = await new Promise<number | null>((resolve, reject) => child.once('exit', resolve).once('error', reject));
  const seconds = (performance.now() - begun) / 1000;
  const { maxRSS, cpu } = JSON.parse(await readFile(usage, 'utf8')) as { maxRSS: number; cpu: number };
  return { seconds, cpu: cpu / 1e6, megabytes: maxRSS / 1024, code };
}

/** @returns seconds */
async function inSequence(address: string, token: string, name: string, count: number): Promise<number> {
  const client = new Client(address, { pipelining: 1 });
  const headers = { 'x-vault-token': token, 'x-vault-request': 'true', 'content-type': 'application/json' };
  const call = async (method: 'GET' | 'POST', path: string, body?: object): Promise<{ data?: Record<string, unknown> }> => {
    const reply = await client.request({ method, path: `/v1/${path}`, headers, body: body === undefined ? null : JSON.stringify(body) });
    const text = await reply.body.text();
    if (reply.statusCode >= 300) throw new Error(`Vault answered ${reply.statusCode} to ${path}`);
    return text === '' ? {} : (JSON.parse(text) as { data?: Record<string, unknown> });
  };
  const document = {
    grants: [
      { api: 'orders', scopes: ['read:orders'] },
      { api: 'reports', scopes: ['read:reports'] },
    ],
    default_api: null,
    introspects: [],
    publish: [],
    organization: null,
    claims: {},
    disabled: false,
  };
  const role = {
    token_type: 'batch',
    token_policies: 'postern-tenant',
    token_no_default_policy: true,
    bind_secret_id: true,
    token_ttl: '300',
    token_max_ttl: '300',
  };
  const metadata = {
    key_id: `key_${'0'.repeat(24)}`,
    environment: 'live',
    issued_by: 'bench',
    issued_at: new Date().toISOString(),
    name: 'import',
  };
  const begun = performance.now();
  for (let at = 0; at < count; at += 1) {
    const [tenant, path] = [`postern/data/tenants/${name}-${at}`, `auth/approle/role/${name}-${at}`];
    await call('POST', tenant, { data: { ...document, client_id: null }, options: { cas: 0 } });
    await call('POST', path, role);
    const id = (await call('GET', `${path}/role-id`)).data?.['role_id'];
    await call('POST', tenant, { data: { ...document, client_id: id }, options: { cas: 1 } });
    await call('POST', `${path}/secret-id`, { metadata: JSON.stringify(metadata) });
  }
  const seconds = (performance.now() - begun) / 1000;
  await client.close();
  return seconds;
}

/** What is sent to Vault arrives late, and its answer as it comes. @param late ms */
async function relay(address: string, late: number): Promise<{ address: string; close: () => void }> {
  const { hostname, port } = new URL(address);
  const server = createServer((near) => {
    const away = connect(Number(port), hostname).setNoDelay(true);
    near.setNoDelay(true).on('data', (chunk) => void sleep(late).then(() => away.write(chunk)));
    away.pipe(near);
    for (const [one, other] of [
      [near, away],
      [away, near],
    ] as const)
      one.on('error', () => {}).on('close', () => other.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() };
}
