import { parseArgs } from 'node:util';
import { APIS } from '#cli/dev/scenario.ts';
import { noteSecret } from '#cli/dev/secret.ts';
import { vaultRequests } from '#cli/dev/count.ts';
import { startStack } from '#cli/dev/stack.ts';
import type { Stack } from '#cli/dev/stack.ts';
import { startServer } from './child.ts';
import { ALL_CORES, LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { measureFirstExchange, median } from './first-exchange.ts';
import { VaultDirect } from './vault-direct.ts';
import { measureVerify, told } from './verify.ts';
import { findWrk, postForm } from './wrk.ts';

const HELP = `Usage: make bench            (node test/bench/main.ts [--rounds N] [--seconds N] [--json])

Measures the cached exchange beside a bare node:http handler, the do-it-yourself way at Vault, and
oidc-provider, /verify beside a bare handler, and nginx with /verify beside nginx alone, all in one
run: servers on core 0, the load on core 1, turn by turn. Latency is
measured one request at a time, with nobody pinned.
`;

interface Line {
  what: string;
  goal: string;
  measured: string;
  reached: boolean;
}

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '4' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const report = (line: string): void => void process.stderr.write(`${line}\n`);

const abort = new AbortController();
process.once('SIGINT', () => abort.abort()).once('SIGTERM', () => abort.abort());

await findWrk(report);
await using stack = await startStack({ report, signal: abort.signal });
const pinned = (await Promise.all([pin(stack.broker.child.pid, SERVER_CORE), pin(stack.vault.pid, SERVER_CORE), pin(process.pid, LOAD_CORE)])).every(Boolean);
if (!pinned) report('no taskset here: server and load share the cores, so the ratios are rougher');
const lines = [...(await throughput(stack)), ...(await firstExchange(stack)), ...(await thousandAtOnce(stack)), ...(await measureVerify(stack, { rounds, seconds, report, signal: abort.signal })).map(told)];
if (values.json) process.stdout.write(`${JSON.stringify({ pinned, rounds, seconds, lines }, null, 2)}\n`);
else {
  const width = Math.max(...lines.map(({ what }) => what.length));
  for (const { what, goal, measured, reached } of lines) process.stdout.write(`${reached ? 'ok  ' : 'MISS'} ${what.padEnd(width)}  ${goal.padEnd(8)} ${measured}\n`);
}

async function acmeSecret(on: Stack): Promise<string> {
  const { data } = await on.client.write('auth/approle/role/acme/secret-id', {}, { token: on.vault.rootToken });
  return noteSecret('secret_id', data?.['secret_id'] as string);
}

async function throughput(on: Stack): Promise<Line[]> {
  const secretId = await acmeSecret(on);
  const credential = { grant_type: 'client_credentials', client_id: on.roleIds.acme, client_secret: secretId, audience: APIS.reports.audience };
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
  const broker = median(rates.broker);
  const against = (what: string, other: readonly number[], goal: number, sign: string): Line => {
    const ratios = rates.broker.map((rate, i) => rate / other[i]!);
    const ratio = median(ratios);
    return {
      what,
      goal: `≥ ${goal}${sign}`,
      measured: `${ratio.toFixed(2)}${sign} (${Math.round(broker)}/s over ${Math.round(median(other))}/s; rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
      reached: ratio >= goal,
    };
  };
  return [
    against('cached exchange over a bare node:http handler', rates.bare, 0.8, ''),
    against('cached exchange over AppRole login + KV read at Vault', rates.direct, 8, '×'),
    against('cached exchange over oidc-provider minting the JWT', rates.provider, 6, '×'),
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
  const replies = await Promise.all(Array.from({ length: 1000 }, () => fetch(`${on.broker.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(form) }).then(async (r) => (await r.text(), r.status))));
  const good = replies.filter((status) => status === 200).length;
  const calls = on.auth0.calls.token - before;
  return [{ what: '1,000 simultaneous first requests of one tenant', goal: '1 call', measured: `${calls} upstream call, ${good} answered 200`, reached: calls === 1 && good === 1000 }];
}
