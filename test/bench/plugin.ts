import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { PLUGIN_ENVIRONMENT } from '#broker/operator/plugin/catalogue.ts';
import { ORDERS, startPluginStage } from '#test/integration/plugin-stage.ts';
import type { PluginStage } from '#test/integration/plugin-stage.ts';
import { builtPlugin } from '#test/fixture/plugin.ts';
import { LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { asError, compared, notHere } from './line.ts';
import type { Line, Sample } from './line.ts';
import { median } from './median.ts';
import { findKvPlugin, findOauthapp } from './peers.ts';
import { get } from './wrk.ts';

export interface PluginBenchOptions {
  rounds: number;
  /** Of each run. */
  seconds: number;
  /** Of the load before memory is read, seconds. */
  soak: number;
  report: (line: string) => void;
  signal: AbortSignal;
}

const TENANTS = 10_000;
/** As many bytes as a token's reply has. */
const VALUE = 'x'.repeat(900);

/**
 * The secrets plugin, as `make plugin` makes it, in a real Vault: beside HashiCorp's own kv engine run as an external plugin
 * (kv v1: one read of storage), and beside the kv v2 that is built in. Vault and its plugins on the servers' core.
 */
export async function measurePlugin({ rounds, seconds, soak, report, signal }: PluginBenchOptions): Promise<Line[]> {
  report('the secrets plugin: building it');
  const { executable, version } = await builtPlugin();
  const kv = await findKvPlugin(report);
  await using undo = new AsyncDisposableStack();
  const stage = await startPluginStage({ logLevel: 'warn' });
  undo.defer(() => stage.stop());
  const { vault } = stage;
  await vault.register({ ...(await vault.install(executable.file)), version, env: PLUGIN_ENVIRONMENT });
  await vault.enable({ version });
  await stage.configure();
  await vault.register({ ...(await vault.install(kv, 'kv-external')), name: 'kv-external' });
  await vault.root('POST', 'sys/mounts/kv-external', { type: 'kv-external' });
  await vault.root('POST', 'kv-external/token', { access_token: VALUE });
  const oauthapp = await addOauthapp(stage, report).catch(asError);
  await vault.root('POST', 'sys/mounts/kv2', { type: 'kv', options: { version: '2' } });
  await untilUpgraded(stage);
  await pin(process.pid, LOAD_CORE);
  for (const pid of [vault.pid, ...(await vault.plugins())]) await pin(pid, SERVER_CORE);

  const first = await thousandFirstReads(stage);
  const rates = { ours: [] as Sample[], oauthapp: [] as Sample[], external: [] as Sample[], builtIn: [] as Sample[] };
  const pids = [vault.pid, ...(await vault.plugins())];
  const headers = { 'X-Vault-Token': vault.rootToken };
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? 'the secrets plugin: warming up' : `the secrets plugin: round ${round} of ${rounds}`);
    for (const [name, path] of [
      ['ours', 'auth0/creds/acme'],
      ...(oauthapp instanceof Error ? [] : [['oauthapp', oauthapp] as const]),
      ['external', 'kv-external/token'],
      ['builtIn', 'kv2/data/token'],
    ] as const) {
      const load = await get(`${vault.address}/v1/${path}`, headers, seconds, pids);
      if (round > 0) rates[name].push(load);
    }
  }
  const overOauthapp = {
    what: "cached creds read over that of puppetlabs' oauthapp in Go, its token cached",
    goal: 2.5,
    sign: '×' as const,
  };
  return [
    oauthapp instanceof Error
      ? notHere(overOauthapp.what, `≥ ${overOauthapp.goal}×`, oauthapp)
      : compared({ ...overOauthapp, ours: rates.ours, other: rates.oauthapp }),
    compared({
      what: "cached creds read over HashiCorp's Go kv as an external plugin",
      goal: 1.8,
      sign: '×',
      ours: rates.ours,
      other: rates.external,
    }),
    compared({ what: 'cached creds read over the built-in KV v2', goal: 0.85, sign: '', ours: rates.ours, other: rates.builtIn }),
    first,
    await startToAnswer(stage, rounds),
    await memory(stage, soak, report, signal),
    size((await stat(executable.file)).size),
  ];
}

/** @returns the path at which its token of our tenants' API is read */
async function addOauthapp({ vault, auth0, m2m }: PluginStage, report: (line: string) => void): Promise<string> {
  await vault.register({ ...(await vault.install(await findOauthapp(report), 'oauthapp')), name: 'oauthapp' });
  await vault.root('POST', 'sys/mounts/oauthapp', { type: 'oauthapp' });
  await vault.root('POST', 'oauthapp/servers/auth0', {
    provider: 'custom',
    provider_options: { token_url: `${auth0.issuer}oauth/token`, auth_style: 'in_params' },
    ...m2m,
  });
  await vault.root('POST', 'oauthapp/self/orders', { server: 'auth0', token_url_params: { audience: ORDERS, postern_tenant: 'acme' } });
  const { data } = await vault.root('GET', 'oauthapp/self/orders');
  if (typeof (data as { access_token?: unknown }).access_token !== 'string') throw new Error('oauthapp gives no token');
  return 'oauthapp/self/orders';
}

async function untilUpgraded({ vault }: PluginStage): Promise<void> {
  // A new kv v2 mount refuses writes until it has upgraded itself.
  for (;;) {
    if ((await vault.call('POST', 'kv2/data/token', { data: { access_token: VALUE } })).status === 200) return;
    await sleep(50);
  }
}

async function thousandFirstReads({ vault, auth0 }: PluginStage): Promise<Line> {
  const before = auth0.calls.token;
  const agent = new Agent({ connections: 1_000 });
  try {
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, async () => {
        const { statusCode, body } = await request(`${vault.address}/v1/auth0/creds/acme`, {
          headers: { 'X-Vault-Token': vault.rootToken },
          dispatcher: agent,
        });
        const { data } = (await body.json()) as { data?: { access_token?: string } };
        return { statusCode, token: data?.access_token };
      }),
    );
    const calls = auth0.calls.token - before;
    const good = answers.filter(({ statusCode }) => statusCode === 200).length;
    const tokens = new Set(answers.map(({ token }) => token)).size;
    return {
      what: '1,000 concurrent first reads of creds',
      goal: '1 call',
      measured: `${calls} upstream call, ${good} answered 200 with ${tokens} token`,
      reached: calls === 1 && good === 1_000 && tokens === 1,
    };
  } finally {
    await agent.close();
  }
}

/** From the end of the plugin's process to the first answer of the next: Vault notices, starts it, shakes hands, and reads. */
async function startToAnswer({ vault }: PluginStage, rounds: number): Promise<Line> {
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const pid = await pluginPid(vault);
    const start = performance.now();
    process.kill(pid, 'SIGKILL');
    while ((await vault.call('GET', 'auth0/creds/acme')).status !== 200) await sleep(5);
    took.push(performance.now() - start);
  }
  const seconds = median(took) / 1000;
  return {
    what: 'plugin killed to the next answer, its start included',
    goal: '≤ 1 s',
    measured: `${seconds.toFixed(2)} s (${rounds} times, at most ${(Math.max(...took) / 1000).toFixed(2)} s)`,
    reached: Math.max(...took) <= 1_000,
  };
}

async function memory({ vault, auth0 }: PluginStage, soak: number, report: (line: string) => void, signal: AbortSignal): Promise<Line> {
  report(`the secrets plugin: ${TENANTS} tenants' tokens, then ${soak} s of load`);
  const agent = new Agent({ connections: 16 });
  const headers = { 'X-Vault-Token': vault.rootToken };
  const call = async (method: 'GET' | 'POST', path: string, json?: object): Promise<void> => {
    const { statusCode, body } = await request(`${vault.address}/v1/${path}`, {
      method,
      headers,
      dispatcher: agent,
      ...(json ? { body: JSON.stringify(json) } : {}),
    });
    await body.dump();
    if (statusCode >= 300) throw new Error(`Vault answered ${statusCode} to ${method} ${path}`);
  };
  const each = async (until: () => boolean, work: (tenant: string) => Promise<void>): Promise<number> => {
    let next = 0;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        while (!until() && !signal.aborted) await work(`tenant-${next++ % TENANTS}`);
      }),
    );
    return next;
  };
  try {
    let made = 0;
    await each(
      () => made >= TENANTS,
      async (tenant) => (made++, call('POST', `auth0/roles/${tenant}`, { grants: { orders: ['read:orders'] } })),
    );
    made = 0;
    const before = auth0.calls.token;
    await each(
      () => made >= TENANTS,
      async (tenant) => (made++, call('GET', `auth0/creds/${tenant}`)),
    );
    const issued = auth0.calls.token - before;
    const end = performance.now() + soak * 1000;
    const reads = await each(
      () => performance.now() > end,
      (tenant) => call('GET', `auth0/creds/${tenant}?audience=${encodeURIComponent(ORDERS)}`),
    );
    signal.throwIfAborted();
    const status = await readFile(`/proc/${await pluginPid(vault)}/status`, 'utf8');
    const megabytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
    const rss = megabytes('VmRSS');
    return {
      what: `memory of the plugin, ${TENANTS} cached tokens, after ${soak} s of load`,
      goal: '≤ 160 MB',
      measured: `${rss.toFixed(0)} MB resident, ${megabytes('VmHWM').toFixed(0)} MB at most (${issued} tokens issued, ${reads} reads)`,
      reached: rss <= 160 && issued === TENANTS,
    };
  } finally {
    await agent.close();
  }
}

function size(bytes: number): Line {
  return { what: 'executable', goal: '≤ 130 MB', measured: `${(bytes / 1e6).toFixed(0)} MB`, reached: bytes <= 130e6 };
}

/** Ours among Vault's children. */
async function pluginPid(vault: PluginStage['vault']): Promise<number> {
  for (const pid of await vault.plugins())
    if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('postern-auth0')) return pid;
  throw new Error('the plugin does not run');
}
