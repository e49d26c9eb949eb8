import { requestsTo } from '#dev/count.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import { startStack } from '#dev/stack.ts';
import type { Stack } from '#dev/stack.ts';
import { startServer } from './child.ts';
import { ALL_CORES, LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { measureFirstExchange } from './first-exchange.ts';
import { asError, compared, notHere, pair } from './line.ts';
import type { Comparison, Line } from './line.ts';
import { startHydra } from './hydra.ts';
import { startNginx } from './nginx.ts';
import type { Bench, Part } from './part.ts';
import { Tail } from './tail.ts';
import { VaultDirect } from './vault-direct.ts';
import { postForm } from './wrk.ts';
import type { Load } from './wrk.ts';

/** The cached exchange beside other ways to a token, and what a first exchange costs. */
export const exchange: Part = {
  name: 'exchange',
  about: `the cached exchange beside a bare node:http handler, nginx that returns the same bytes, the
do-it-yourself way at Vault, oidc-provider and Ory Hydra; first exchanges one at a time, with nobody pinned`,
  async run(bench) {
    await using stack = await startStack({ report: bench.report, signal: bench.signal });
    await Promise.all([pin(stack.broker.child.pid, SERVER_CORE), pin(stack.vault.pid, SERVER_CORE), pin(process.pid, LOAD_CORE)]);
    const lines = await throughput(stack, bench);
    await Promise.all([stack.vault.pid, stack.broker.child.pid, process.pid].map((pid) => pin(pid, ALL_CORES)));
    lines.push(...(await measureFirstExchange(stack, bench.report)), await thousandAtOnce(stack, bench));
    return lines;
  },
};

export async function acmeSecret(on: Stack): Promise<string> {
  const { data } = await on.client.write('auth/approle/role/acme/secret-id', {}, { token: on.vault.rootToken });
  return noteSecret('secret_id', data?.['secret_id'] as string);
}

async function throughput(on: Stack, { rounds, seconds, report, signal }: Bench): Promise<Line[]> {
  const secretId = await acmeSecret(on);
  const credential = {
    grant_type: 'client_credentials',
    client_id: on.roleIds.acme,
    client_secret: secretId,
    audience: APIS.reports.audience,
  };
  const url = `${on.broker.issuer}oauth/token`;
  const first = await fetch(url, { method: 'POST', body: new URLSearchParams(credential) });
  const reply = await first.text();
  if (first.status !== 200) throw new Error(`the broker answered ${first.status}`);
  await using undo = new AsyncDisposableStack();
  const bare = undo.adopt(await startServer('./bare.ts', { BARE_BODY: reply }), (one) => one.stop());
  const provider = undo.adopt(
    await startServer('./oidc-provider.ts', {
      BENCH_AUDIENCE: APIS.reports.audience,
      BENCH_SCOPE: APIS.reports.scopes.join(' '),
      BENCH_CLIENT_ID: credential.client_id,
      BENCH_CLIENT_SECRET: secretId,
    }),
    (one) => one.stop(),
  );
  const nginx = await startNginx(reply).catch(asError);
  if (!(nginx instanceof Error)) undo.use(nginx);
  let hydra = await startHydra(report, { audience: APIS.reports.audience, scope: APIS.reports.scopes.join(' ') }).catch(asError);
  if (!(hydra instanceof Error)) undo.use(hydra);
  const direct = undo.adopt(new VaultDirect(on.vault.address, 32), (one) => one.close());
  const to = (what: string, goal: number, sign: '' | '×' = ''): Comparison => ({ what, goal, sign, ours: [], other: [] });
  const overBare = { ...to('cached exchange over a bare node:http handler', 0.95), worst: 0.9 };
  const overNginx = to('cached exchange over nginx that returns the same bytes (one worker)', 0.4);
  const overVault = to('cached exchange over AppRole login + KV read at Vault', 8, '×');
  const overProvider = to('cached exchange over oidc-provider minting the JWT', 6, '×');
  const overHydra = to('cached exchange over Ory Hydra minting a JWT, in memory', 100, '×');
  const tail = new Tail();
  let hits = 0;
  /** What was asked meanwhile, but for what is asked by the clock. */
  const calls: string[] = [];
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    const form = { ...credential };
    const onHits = async (work: () => Promise<unknown>): Promise<void> => {
      // A credential of its own each time: its verification is remembered for 30 s, longer than it is used.
      form.client_secret = await acmeSecret(on);
      await postForm(url, form, 1);
      const [vaultBefore, auth0Before] = [(await requestsTo(on.files.vaultAudit)).length, on.auth0.calls.token];
      await work();
      await new Promise((resolve) => setTimeout(resolve, 200));
      if (round === 0) return;
      const asked = (await requestsTo(on.files.vaultAudit)).slice(vaultBefore);
      // The broker looks at its signing key twice a minute, whoever asks for what.
      calls.push(...asked.filter((one) => !one.startsWith('read transit/keys/')));
      for (let call = auth0Before; call < on.auth0.calls.token; call++) calls.push('a token from Auth0');
    };
    const hit = () => postForm(url, form, seconds, [on.broker.child.pid]);
    const beside = async (into: Comparison, other: typeof hit): Promise<void> => {
      const { ours } = await pair(into, round, hit, other);
      if (round > 0) hits += ours.requests;
    };
    await onHits(() => beside(overBare, () => postForm(`http://127.0.0.1:${bare.port}/`, form, seconds, [bare.pid])));
    const most = overBare.other.at(-1)?.rate;
    if (most !== undefined)
      await onHits(() =>
        tail.round(round, 0.7 * most, seconds, form, [
          { url, pids: [on.broker.child.pid] },
          { url: `http://127.0.0.1:${bare.port}/`, pids: [bare.pid] },
        ]),
      );
    if (!(nginx instanceof Error))
      await onHits(() => beside(overNginx, () => postForm(`http://127.0.0.1:${nginx.port}/`, form, seconds, nginx.workers)));
    const minted = await postForm(
      `http://127.0.0.1:${provider.port}/token`,
      { ...credential, scope: APIS.reports.scopes.join(' ') },
      seconds,
      [provider.pid],
    );
    const diy = await direct.rate({ roleId: credential.client_id, secretId }, 'postern-tokens/data/acme/reports', 32, seconds);
    // Its database in memory takes one connection; a short run would hold few answers.
    let byHydra: Load | undefined;
    if (!(hydra instanceof Error))
      try {
        byHydra = await postForm(hydra.url, hydra.form, Math.max(3, seconds), [hydra.pid], 1);
      } catch (error) {
        // What it can't bear isn't ours to judge; nor does it stop the rest.
        if (round > 0) hydra = asError(error);
      }
    if (round === 0) continue;
    for (const [into, other] of [
      ...(byHydra === undefined ? [] : [[overHydra, byHydra] as const]),
      [overProvider, minted],
      [overVault, { rate: diy }],
    ] as const) {
      into.ours.push(overBare.ours.at(-1)!);
      into.other.push(other);
    }
  }
  return [
    compared(overBare),
    tail.line(),
    nginx instanceof Error ? notHere(overNginx.what, `≥ ${overNginx.goal}`, nginx) : compared(overNginx),
    compared(overVault),
    compared(overProvider),
    hydra instanceof Error ? notHere(overHydra.what, `≥ ${overHydra.goal}×`, hydra) : compared(overHydra),
    {
      what: 'Vault and Auth0 calls on a memory hit',
      goal: '0',
      measured: `${calls.length} in ${hits} hits${calls.length > 0 ? `: ${calls.join(', ')}` : ''}`,
      reached: calls.length === 0,
    },
  ];
}

async function thousandAtOnce(on: Stack, { report }: Bench): Promise<Line> {
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
  return {
    what: '1,000 simultaneous first requests of one tenant',
    goal: '1 call',
    measured: `${calls} upstream call, ${good} answered 200`,
    reached: calls === 1 && good === 1000,
  };
}
