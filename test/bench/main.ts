import { parseArgs } from 'node:util';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import { vaultRequests } from '#dev/count.ts';
import { startStack } from '#dev/stack.ts';
import type { Stack } from '#dev/stack.ts';
import { tryDoors } from '#test/integration/doors.ts';
import { measureBulk } from './bulk.ts';
import { startServer } from './child.ts';
import { ALL_CORES, LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { measureFirstExchange } from './first-exchange.ts';
import { measureKeyless } from './keyless.ts';
import { compared } from './line.ts';
import type { Line } from './line.ts';
import { measureObserved } from './observe.ts';
import { measureFlood, measureLimits } from './limits.ts';
import { measureOutage } from './outage.ts';
import { measurePlugin } from './plugin.ts';
import { measureSchemathesis } from './schemathesis.ts';
import { VaultDirect } from './vault-direct.ts';
import { measureVerify } from './verify.ts';
import { findWrk, postForm } from './wrk.ts';

const PARTS = ['exchange', 'verify', 'observe', 'limits', 'plugin', 'keyless', 'doors', 'outage', 'schemathesis', 'bulk'] as const;

const HELP = `Usage: make bench [ARGS='--only PART[,PART] --rounds N --seconds N --soak N --json']

Measures, all in one run, turn by turn, servers on core 0 and the load on core 1:
  exchange      the cached exchange beside a bare node:http handler, the do-it-yourself way at Vault,
                and oidc-provider; first exchanges one at a time, with nobody pinned
  verify        /verify beside a bare handler, and nginx with /verify beside nginx alone
  observe       hits with metrics and traces beside hits without
  limits        /verify with a key that is limited in memory beside one that isn't; 30 s of 1,000/s at three
                brokers with Redis, and what others notice of it
  plugin        creds of the secrets plugin in a real Vault beside HashiCorp's own kv engine run as an
                external plugin, and the kv v2 that is built in; its start, and its memory after a soak
  keyless       token exchange with a workload's own JWT beside the same with a Vault token
  outage        Vault stopped (SIGSTOP) under a steady load of hits, with a cold exchange each second
  doors         100 tenants and 100 APIs, every door at random: answers for the wrong tenant
  schemathesis  the OpenAPI documents of the admin API and the OAuth endpoints held against the servers
  bulk          tenant import beside a loop of its calls; lists, prune and doctor with many tenants

Options:
  --only PARTS   some of them (default: all)
  --rounds N     rounds of each comparison (default 5)
  --seconds N    of each run (default 4)
  --outage N     seconds for which Vault is stopped (default 60)
  --imported N   tenants of each import (default 250)
  --tenants N    tenants that are listed (default: those of the imports)
  --soak N       seconds of load before the plugin's memory is read (default 300)
  --json         for a program
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: PARTS.join(',') },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    soak: { type: 'string', default: '300' },
    outage: { type: 'string', default: '60' },
    imported: { type: 'string', default: '250' },
    tenants: { type: 'string', default: '0' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const only = new Set(values.only.split(','));
for (const part of only)
  if (!(PARTS as readonly string[]).includes(part)) throw new Error(`--only: there is no ${part}; there are ${PARTS.join(', ')}`);
const [rounds, seconds, soak] = [values.rounds, values.seconds, values.soak].map(Number) as [number, number, number];
const report = (line: string): void => void process.stderr.write(`${line}\n`);

const abort = new AbortController();
process.once('SIGINT', () => abort.abort()).once('SIGTERM', () => abort.abort());

await findWrk(report);
const pinned = await pin(process.pid, LOAD_CORE);
if (!pinned) report('no taskset here: server and load share the cores, so the ratios are rougher');
const lines: Line[] = [];
if (only.has('exchange') || only.has('verify') || only.has('observe') || only.has('limits')) {
  await using stack = await startStack({ report, signal: abort.signal });
  await Promise.all([stack.broker.child.pid, stack.vault.pid].map((pid) => pin(pid, SERVER_CORE)));
  if (only.has('exchange')) lines.push(...(await throughput(stack)), ...(await firstExchange(stack)), ...(await thousandAtOnce(stack)));
  if (only.has('observe')) lines.push(...(await measureObserved(stack, { rounds, seconds, report, signal: abort.signal })));
  if (only.has('limits')) lines.push(...(await measureLimits(stack, { rounds, seconds, report, signal: abort.signal })));
  // Last, since it warms the token that 1,000 first requests must not find.
  if (only.has('verify')) lines.push(...(await measureVerify(stack, { rounds, seconds, report, signal: abort.signal })));
}
if (only.has('plugin')) lines.push(...(await measurePlugin({ rounds, seconds, soak, report, signal: abort.signal })));
await pin(process.pid, ALL_CORES);
if (only.has('outage')) {
  await using stack = await startStack({ report, signal: abort.signal });
  lines.push(...(await measureOutage(stack, Number(values.outage), report)));
}
if (only.has('limits')) lines.push(...(await measureFlood(30, report)));
if (only.has('keyless')) lines.push(...(await measureKeyless(rounds, seconds, report)));
if (only.has('doors')) lines.push(await measureDoors());
if (only.has('bulk')) {
  await using stack = await startStack({ report, signal: abort.signal });
  lines.push(...(await measureBulk(stack, { imported: Number(values.imported), tenants: Number(values.tenants), report })));
}
if (only.has('schemathesis')) lines.push(await measureSchemathesis(report));

if (values.json) process.stdout.write(`${JSON.stringify({ pinned, rounds, seconds, soak, lines }, null, 2)}\n`);
else {
  const width = Math.max(...lines.map(({ what }) => what.length));
  for (const { what, goal, measured, reached } of lines)
    process.stdout.write(`${reached ? 'ok  ' : 'MISS'} ${what.padEnd(width)}  ${goal.padEnd(8)} ${measured}\n`);
}

async function acmeSecret(on: Stack): Promise<string> {
  const { data } = await on.client.write('auth/approle/role/acme/secret-id', {}, { token: on.vault.rootToken });
  return noteSecret('secret_id', data?.['secret_id'] as string);
}

async function throughput(on: Stack): Promise<Line[]> {
  const secretId = await acmeSecret(on);
  const credential = {
    grant_type: 'client_credentials',
    client_id: on.roleIds.acme,
    client_secret: secretId,
    audience: APIS.reports.audience,
  };
  const first = await fetch(`${on.broker.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(credential) });
  const reply = await first.text();
  if (first.status !== 200) throw new Error(`the broker answered ${first.status}`);
  const bare = await startServer('./bare.ts', { BARE_BODY: reply });
  const provider = await startServer('./oidc-provider.ts', {
    BENCH_AUDIENCE: APIS.reports.audience,
    BENCH_SCOPE: APIS.reports.scopes.join(' '),
    BENCH_CLIENT_ID: credential.client_id,
    BENCH_CLIENT_SECRET: secretId,
  });
  const direct = new VaultDirect(on.vault.address, 32);
  const rates = { broker: [] as number[], bare: [] as number[], provider: [] as number[], direct: [] as number[] };
  let errors = 0;
  let hits = 0;
  let callsOnHits = 0;
  try {
    const post = async (url: string, body: Record<string, string>) => {
      const load = await postForm(url, body, seconds);
      errors += load.errors;
      return load;
    };
    for (let round = 0; round <= rounds; round++) {
      abort.signal.throwIfAborted();
      report(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
      // A credential of its own for each round: its verification is remembered for 30 s, longer than the round is counted.
      const form = { ...credential, client_secret: await acmeSecret(on) };
      await postForm(`${on.broker.issuer}oauth/token`, form, 1);
      const [vaultBefore, auth0Before] = [await vaultRequests(on.files.vaultAudit), on.auth0.calls.token];
      const broker = await post(`${on.broker.issuer}oauth/token`, form);
      await new Promise((resolve) => setTimeout(resolve, 200));
      const calls = (await vaultRequests(on.files.vaultAudit)) - vaultBefore + (on.auth0.calls.token - auth0Before);
      const plain = await post(`http://127.0.0.1:${bare.port}/`, form);
      const minted = await post(`http://127.0.0.1:${provider.port}/token`, { ...credential, scope: APIS.reports.scopes.join(' ') });
      const diy = await direct.rate({ roleId: credential.client_id, secretId }, 'postern-tokens/data/acme/reports', 32, seconds);
      if (round === 0) continue;
      rates.broker.push(broker.rate);
      rates.bare.push(plain.rate);
      rates.provider.push(minted.rate);
      rates.direct.push(diy);
      hits += broker.requests;
      callsOnHits += calls;
    }
  } finally {
    await Promise.all([bare.stop(), provider.stop(), direct.close()]);
  }
  if (errors > 0) throw new Error(`${errors} requests failed under load`);
  return [
    compared({ what: 'cached exchange over a bare node:http handler', goal: 0.8, sign: '', ours: rates.broker, other: rates.bare }),
    compared({
      what: 'cached exchange over AppRole login + KV read at Vault',
      goal: 8,
      sign: '×',
      ours: rates.broker,
      other: rates.direct,
    }),
    compared({ what: 'cached exchange over oidc-provider minting the JWT', goal: 6, sign: '×', ours: rates.broker, other: rates.provider }),
    { what: 'Vault and Auth0 calls on a memory hit', goal: '0', measured: `${callsOnHits} in ${hits} hits`, reached: callsOnHits === 0 },
  ];
}

async function firstExchange(on: Stack): Promise<Line[]> {
  report('first exchanges of unseen credentials');
  await Promise.all([on.vault.pid, on.broker.child.pid, process.pid].map((pid) => pin(pid, ALL_CORES)));
  const { exchange, raw, ratio, measured } = await measureFirstExchange(on);
  return [
    {
      what: 'first exchange, token in Vault, over login + KV read, p50',
      goal: '≤ 1.3×',
      measured: `${ratio.toFixed(2)}× (${exchange.toFixed(2)} ms over ${raw.toFixed(2)} ms, ${measured} tenants)`,
      reached: ratio <= 1.3,
    },
  ];
}

async function thousandAtOnce(on: Stack): Promise<Line[]> {
  report('1,000 simultaneous first requests');
  const secretId = await acmeSecret(on);
  const before = on.auth0.calls.token;
  const form = { grant_type: 'client_credentials', client_id: on.roleIds.acme, client_secret: secretId, audience: APIS.orders.audience };
  const replies = await Promise.all(
    Array.from({ length: 1000 }, () =>
      fetch(`${on.broker.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(form) }).then(
        async (r) => (await r.text(), r.status),
      ),
    ),
  );
  const good = replies.filter((status) => status === 200).length;
  const calls = on.auth0.calls.token - before;
  return [
    {
      what: '1,000 simultaneous first requests of one tenant',
      goal: '1 call',
      measured: `${calls} upstream call, ${good} answered 200`,
      reached: calls === 1 && good === 1000,
    },
  ];
}

async function measureDoors(): Promise<Line> {
  const { requests, granted, refused, doors, wrong } = await tryDoors({ requests: 20_000, report });
  for (const told of wrong.slice(0, 20)) report(told);
  return {
    what: '100 × 100 tenants and audiences, random doors: wrong answers',
    goal: '0',
    measured: `${wrong.length} of ${requests} (${granted} granted, ${refused} refused, ${Object.keys(doors).length} doors)`,
    reached: wrong.length === 0 && granted + refused === requests,
  };
}
