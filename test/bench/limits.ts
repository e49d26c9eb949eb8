import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { ApiKey } from '#broker/credential/api-key.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { startHouse } from '#test/fixture/broker.ts';
import { startRedis } from '#test/fixture/redis.ts';
import { LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { compared, pair } from './line.ts';
import type { Comparison, Line } from './line.ts';
import { get } from './wrk.ts';

export interface LimitsOptions {
  rounds: number;
  /** Of each run. */
  seconds: number;
  report: (line: string) => void;
  signal: AbortSignal;
}

/** `/verify` hits with a key that is limited in memory beside hits with one that isn't, turn by turn. */
export async function measureLimits(stack: Stack, { rounds, seconds, report, signal }: LimitsOptions): Promise<Line[]> {
  await Promise.all([pin(stack.broker.child.pid, SERVER_CORE), pin(stack.vault.pid, SERVER_CORE), pin(process.pid, LOAD_CORE)]);
  const url = `${stack.broker.issuer}verify?audience=${encodeURIComponent(APIS.orders.audience)}&scope=read%3Aorders`;
  const result: Comparison = { what: '/verify hit with a limit in memory over one without', goal: 0.95, sign: '', ours: [], other: [] };
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? 'limits: warming up' : `limits: round ${round} of ${rounds}`);
    const limited = { 'X-API-Key': await issueKey(stack, 2 * round, '100000000/s') };
    const plain = { 'X-API-Key': await issueKey(stack, 2 * round + 1) };
    await get(url, limited, 1);
    await get(url, plain, 1);
    const load = (key: Record<string, string>) => () => get(url, key, seconds, [stack.broker.child.pid]);
    await pair(result, round, load(limited), load(plain));
  }
  return [compared(result)];
}

async function issueKey({ client, roleIds, vault }: Stack, number: number, limits?: string): Promise<string> {
  const metadata = { key_id: `key_${String(number).padStart(24, '0')}`, environment: 'bench', ...(limits === undefined ? {} : { limits }) };
  const { data } = await client.write(
    'auth/approle/role/acme/secret-id',
    { metadata: JSON.stringify(metadata) },
    { token: vault.rootToken },
  );
  return noteSecret('API key', ApiKey.format('bench', roleIds.acme, noteSecret('secret_id', String(data?.['secret_id']))));
}

const AUDIENCE = 'https://orders.example.com';
const QUOTA = 100;
const OFFERED = 1_000;

/**
 * Three brokers and a real Redis: a tenant of 100/s offers 1,000/s for so many seconds, while two others, one of them limited too and
 * never near it, ask 50 times a second each. Beside it the same two without that tenant.
 */
export async function measureFlood(seconds: number, report: (line: string) => void): Promise<Line[]> {
  await using undo = new AsyncDisposableStack();
  const grants = [{ api: 'orders', scopes: ['read:orders'] }];
  const house = undo.use(
    await startHouse({
      apis: { orders: { audience: AUDIENCE, source: 'transit', scopes: ['read:orders'] } },
      tenants: { wild: { grants, limits: { per_second: QUOTA } }, calm: { grants }, counted: { grants, limits: { per_second: 100_000 } } },
    }),
  );
  const redis = undo.adopt(await startRedis(), (one) => one.stop());
  const env = { POSTERN_LIMITS_STORE: `redis://127.0.0.1:${redis.port}`, POSTERN_LOG_LEVEL: 'info' };
  const replicas = await Promise.all([1, 2, 3].map(() => house.startReplicaProcess({ env })));
  const pools = replicas.map(({ issuer }) => undo.adopt(new Pool(issuer, { connections: 64 }), (pool) => pool.close()));
  const keyOf = async (tenant: string): Promise<string> => {
    const { client_id, client_secret } = await house.issueSecret(tenant);
    return noteSecret('API key', ApiKey.format('bench', client_id, client_secret));
  };
  const keys = { wild: await keyOf('wild'), calm: await keyOf('calm'), counted: await keyOf('counted') };
  let asked = 0;
  const ask = async (key: string): Promise<{ status: number; ms: number }> => {
    const begun = performance.now();
    const { statusCode, body } = await pools[asked++ % pools.length]!.request({
      method: 'GET',
      path: `/verify?audience=${AUDIENCE}&scope=read%3Aorders`,
      headers: { 'x-api-key': key },
    });
    await body.dump();
    return { status: statusCode, ms: performance.now() - begun };
  };
  /** At a steady rate, whatever the answers take. */
  const offer = async (key: string, rate: number): Promise<{ status: number; ms: number }[]> => {
    const begun = performance.now();
    const answers: Promise<{ status: number; ms: number }>[] = [];
    while (performance.now() - begun < seconds * 1_000) {
      for (const due = ((performance.now() - begun) * rate) / 1_000; answers.length < due;) answers.push(ask(key));
      await sleep(2);
    }
    return Promise.all(answers);
  };
  for (const key of Object.values(keys)) for (const _ of pools) await ask(key);
  await sleep(1_500);
  report(`limits: ${seconds} s without the flood`);
  const before = await Promise.all([offer(keys.calm, 50), offer(keys.counted, 50)]);
  report(`limits: ${seconds} s of ${OFFERED}/s at three brokers`);
  const [wild, ...after] = await Promise.all([offer(keys.wild, OFFERED), offer(keys.calm, 50), offer(keys.counted, 50)]);
  const through = wild.filter(({ status }) => status === 200).length / seconds;
  const strange = [...wild, ...before.flat(), ...after.flat()].filter(({ status }) => status !== 200 && status !== 429).length;
  const p = (answers: { ms: number }[], share: number): number =>
    answers.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor(answers.length * share)]!;
  const others = (name: string, at: 0 | 1): Line => {
    const [less, more] = [p(before[at]!, 0.99), p(after[at]!, 0.99)];
    return {
      what: `p99 of ${name}, with the flood over without`,
      goal: '≤ 1.2',
      measured: `${(more / less).toFixed(2)} (${more.toFixed(1)} ms over ${less.toFixed(1)} ms; medians ${p(after[at]!, 0.5).toFixed(1)} and ${p(before[at]!, 0.5).toFixed(1)} ms)`,
      reached: more / less <= 1.2,
    };
  };
  return [
    {
      what: `a limit of ${QUOTA}/s at three brokers with Redis, offered ${Math.round(wild.length / seconds)}/s for ${seconds} s`,
      goal: '± 2 %',
      measured: `${through.toFixed(1)}/s${strange === 0 ? '' : `; ${strange} answers were neither 200 nor 429`}`,
      reached: Math.abs(through / QUOTA - 1) <= 0.02 && strange === 0,
    },
    others('a tenant without a limit', 0),
    others('a tenant with one, counted in Redis', 1),
  ];
}
