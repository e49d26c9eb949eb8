import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import type { Line } from './line.ts';

/** Credentials that are known before. */
const KNOWN = 20;
/** Requests a second. */
const RATE = 100;

interface Answers {
  waits: number[];
  failed: number;
}

function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? Number.NaN;
}

/** Vault is stopped (SIGSTOP) for `seconds` under a steady load of hits, with a cold exchange each second. */
export async function measureOutage(on: Stack, seconds: number, report: (line: string) => void): Promise<Line[]> {
  const agent = new Agent({ connections: 256 });
  const secret = async (): Promise<string> => {
    const { data } = await on.client.write('auth/approle/role/acme/secret-id', {}, { token: on.vault.rootToken });
    return noteSecret('secret_id', data?.['secret_id'] as string);
  };
  const ask = async (client_secret: string): Promise<{ status: number; ms: number }> => {
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: on.roleIds.acme,
      client_secret,
      audience: APIS.reports.audience,
    });
    const begun = performance.now();
    const reply = await fetch(`${on.broker.issuer}oauth/token`, { method: 'POST', body, dispatcher: agent });
    await reply.text();
    return { status: reply.status, ms: performance.now() - begun };
  };
  const known = await Promise.all(Array.from({ length: KNOWN }, secret));
  const cold = await Promise.all(Array.from({ length: seconds }, secret));
  await Promise.all(known.map(ask));
  const load = async (during: number): Promise<Answers> => {
    const answers: Answers = { waits: [], failed: 0 };
    const asked: Promise<void>[] = [];
    const begun = performance.now();
    for (let n = 0; n < during * RATE; n++) {
      const due = begun + (n * 1000) / RATE - performance.now();
      if (due > 0) await sleep(due);
      asked.push(
        ask(known[n % KNOWN]!).then(({ status, ms }) => {
          answers.waits.push(ms);
          if (status !== 200) answers.failed++;
        }),
      );
    }
    await Promise.all(asked);
    return answers;
  };
  report('hits before the outage');
  const before = await load(Math.min(seconds, 30));
  report(`Vault is stopped for ${seconds} s`);
  process.kill(on.vault.pid, 'SIGSTOP');
  let during: Answers;
  const refusals: { status: number; ms: number }[] = [];
  try {
    const hits = load(seconds);
    // The breaker opens after a time-out or two.
    await sleep(8_000);
    for (const one of cold.slice(10)) {
      refusals.push(await ask(one));
      await sleep(1000);
    }
    during = await hits;
  } finally {
    process.kill(on.vault.pid, 'SIGCONT');
  }
  const resumed = performance.now();
  while ((await ask(cold[0]!)).status !== 200) await sleep(20);
  const back = performance.now() - resumed;
  await agent.close();
  const [p99Before, p99] = [quantile(before.waits, 0.99), quantile(during.waits, 0.99)];
  const slowest = Math.max(...refusals.map(({ ms }) => ms));
  const refused = refusals.filter(({ status }) => status === 503).length;
  return [
    {
      what: `hits while Vault is frozen for ${seconds} s`,
      goal: '100 %',
      measured: `${during.waits.length - during.failed} of ${during.waits.length}; p99 ${p99.toFixed(1)} ms, before ${p99Before.toFixed(1)} ms`,
      reached: during.failed === 0,
    },
    {
      what: 'a cold exchange meanwhile, to its 503',
      goal: '≤ 10 ms',
      measured: `p50 ${quantile(
        refusals.map(({ ms }) => ms),
        0.5,
      ).toFixed(1)} ms, slowest ${slowest.toFixed(1)} ms of ${refused}`,
      reached: refused === refusals.length && slowest <= 10,
    },
    { what: 'cold exchanges are back after', goal: '≤ 5 s', measured: `${(back / 1000).toFixed(2)} s`, reached: back <= 5000 },
  ];
}
