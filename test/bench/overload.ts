import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { APIS } from '#dev/scenario.ts';
import type { TenantName } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';
import type { LoadOrder, LoadResult } from './open-loop.ts';

export interface OverloadOptions {
  rounds: number;
  /** Of each run. */
  seconds: number;
  report: (line: string) => void;
  signal: AbortSignal;
}

/** Addresses that the flood comes from: one may have 2,000 connections. */
const FLOOD = ['127.0.1.1', '127.0.1.2', '127.0.1.3', '127.0.1.4'];
const FLOOD_CONNECTIONS = 1_000;
/** Seconds: Node takes one connection a turn, 4,000 in five, and what stands for less than two isn't shed. */
const WARM_UP = 8;
const QUIET = { rate: 100, from: ['127.0.2.1'], connections: 4 } as const;

/**
 * One tenant floods, with introspections (each is a signature to check) at five times what the broker can do, then with exchanges from as
 * many connections as it may have; another asks 100 times a second. What is served, what is refused, and how long the other waits.
 */
export async function measureOverload(stack: Stack, { rounds, seconds, report, signal }: OverloadOptions): Promise<Line[]> {
  await Promise.all([stack.broker.child.pid, stack.vault.pid].map((pid) => pin(pid, SERVER_CORE)));
  const [flood, quiet] = await Promise.all([startLoad(0), startLoad(-10)]);
  const of: Record<'peak' | 'good' | 'refusedAt70' | 'unsentAt70' | 'wait' | 'hits' | 'hitWait', number[]> = {
    peak: [],
    good: [],
    refusedAt70: [],
    unsentAt70: [],
    wait: [],
    hits: [],
    hitWait: [],
  };
  const told = { offered: 0, shed: 0, silent: 0, failed: 0, quietRefused: 0 };
  try {
    const port = Number(new URL(stack.broker.issuer).port);
    const [acme, globex] = await Promise.all([secretOf(stack, 'acme'), secretOf(stack, 'globex')]);
    const token = await tokenOf(stack, acme);
    const introspection = { port, request: post('/oauth/introspect', { ...acme, token }), seconds };
    const exchange = (who: Client) => ({ port, request: post('/oauth/token', formOf(who)), seconds });
    const ask = (order: Omit<LoadOrder, 'from' | 'connections'>) => quiet.run({ ...order, ...QUIET });
    await Promise.all([tokenOf(stack, globex), flood.run({ ...introspection, seconds: 1, rate: Infinity, from: FLOOD, connections: 8 })]);
    for (let round = 0; round <= rounds; round++) {
      signal.throwIfAborted();
      report(round === 0 ? 'overload: warming up' : `overload: round ${round} of ${rounds}`);
      const alone = await ask({ ...exchange(globex), rate: QUIET.rate });
      const peak = await flood.run({ ...introspection, rate: Infinity, from: FLOOD, connections: 8 });
      const at70 = await flood.run({ ...introspection, rate: 0.7 * peak.goodput, from: FLOOD, connections: 100 });
      const [over, beside] = await Promise.all([
        flood.run({ ...introspection, warmUp: WARM_UP, rate: 5 * peak.goodput, from: FLOOD, connections: FLOOD_CONNECTIONS }),
        ask({ ...exchange(globex), warmUp: WARM_UP, rate: QUIET.rate }),
      ]);
      // Connections that were shed are not read for a second.
      await sleep(1_500);
      const hitPeak = await flood.run({ ...exchange(acme), rate: Infinity, from: FLOOD, connections: 8 });
      const [hits, besideHits] = await Promise.all([
        flood.run({ ...exchange(acme), warmUp: WARM_UP, rate: Infinity, from: FLOOD, connections: FLOOD_CONNECTIONS }),
        ask({ ...exchange(globex), warmUp: WARM_UP, rate: QUIET.rate }),
      ]);
      await sleep(1_500);
      if (round === 0) continue;
      of.peak.push(peak.goodput);
      of.good.push(over.goodput / peak.goodput);
      of.refusedAt70.push(at70.shed + at70.failed);
      of.unsentAt70.push(at70.unsent);
      of.wait.push(beside.p99 / alone.p99);
      of.hits.push(hits.goodput / hitPeak.goodput);
      of.hitWait.push(besideHits.p99 / alone.p99);
      told.offered += over.offered;
      told.shed += over.shed + hits.shed;
      told.silent += over.silent + hits.silent;
      told.failed += over.failed + hits.failed;
      told.quietRefused += beside.shed + beside.failed + besideHits.shed + besideHits.failed;
      report(
        `peak ${peak.goodput}/s; 5×: ${JSON.stringify(over)}; alone ${alone.p50}/${alone.p99} ms, beside ${beside.p50}/${beside.p99} ms; ` +
          `hits ${hitPeak.goodput}/s, ${JSON.stringify(hits)}; beside ${besideHits.p50}/${besideHits.p99} ms`,
      );
    }
  } finally {
    await Promise.all([flood.stop(), quiet.stop()]);
  }
  const range = (values: number[], digits: number): string =>
    `rounds ${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`;
  const least = (what: string, values: number[], goal: number): Line => ({
    what,
    goal: `≥ ${goal}`,
    measured: `${median(values).toFixed(2)} (${range(values, 2)})`,
    reached: median(values) >= goal,
  });
  const most = (what: string, values: number[], goal: number): Line => ({
    what,
    goal: `≤ ${goal}×`,
    measured: `${median(values).toFixed(2)}× (${range(values, 2)})`,
    reached: median(values) <= goal,
  });
  const sum = (counts: number[]): number => counts.reduce((all, one) => all + one, 0);
  const [refused, unsent] = [sum(of.refusedAt70), sum(of.unsentAt70)];
  return [
    least(`goodput at 5× load over peak (${Math.round(median(of.peak))}/s introspections)`, of.good, 0.8),
    least('goodput of hits from 4,000 connections over that from 32', of.hits, 0.8),
    most("a quiet tenant's p99 beside introspections at 5× over alone", of.wait, 1.5),
    most("a quiet tenant's p99 beside hits from 4,000 connections over alone", of.hitWait, 1.5),
    {
      what: 'refused at 70 % of peak, and not sent since none of 400 connections was free',
      goal: '0, 0',
      measured: `${refused}, ${unsent}`,
      reached: refused + unsent === 0,
    },
    {
      what: 'shed at 5×: each with Retry-After, and none of the quiet tenant',
      goal: '0 else',
      measured: `${told.shed} shed, ${told.silent} of them without; ${told.failed} other failures; ${told.quietRefused} of the quiet tenant`,
      reached: told.silent + told.failed + told.quietRefused === 0,
    },
  ];
}

interface Load {
  run(order: LoadOrder): Promise<LoadResult>;
  stop(): Promise<void>;
}

/** @param priority of its process: who measures a quiet client must not wait for the flood's own processor time, where we may say so */
async function startLoad(priority: number): Promise<Load> {
  const child: ChildProcess = fork(fileURLToPath(new URL('./open-loop.ts', import.meta.url)), { env: { PATH: process.env['PATH'] ?? '' } });
  await once(child, 'message');
  await pin(child.pid!, LOAD_CORE);
  try {
    setPriority(child.pid!, priority);
  } catch {
    // Not as root: then the quiet client's figures hold some of that.
  }
  return {
    async run(order) {
      child.send(order);
      const [result] = (await once(child, 'message')) as [LoadResult];
      return result;
    },
    async stop() {
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}

interface Client {
  client_id: string;
  client_secret: string;
}

async function secretOf({ client, roleIds, vault }: Stack, tenant: TenantName): Promise<Client> {
  const { data } = await client.write(`auth/approle/role/${tenant}/secret-id`, {}, { token: vault.rootToken });
  return { client_id: roleIds[tenant], client_secret: noteSecret('secret_id', String(data?.['secret_id'])) };
}

function formOf(who: Client): Record<string, string> {
  return { grant_type: 'client_credentials', ...who, audience: APIS.orders.audience };
}

async function tokenOf({ broker }: Stack, who: Client): Promise<string> {
  const reply = await fetch(`${broker.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(formOf(who)) });
  const { access_token: token } = (await reply.json()) as { access_token?: unknown };
  if (reply.status !== 200 || typeof token !== 'string') throw new Error(`the broker answered ${reply.status}`);
  return noteSecret('access token', token);
}

function post(path: string, form: Record<string, string>): string {
  const body = new URLSearchParams(form).toString();
  return [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}
