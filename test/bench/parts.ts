import { startStack } from '#dev/stack.ts';
import type { Stack } from '#dev/stack.ts';
import { measureBulk } from './bulk.ts';
import { ALL_CORES, LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { measureDoors } from './doors.ts';
import { exchange } from './exchange.ts';
import { measureKeyless } from './keyless.ts';
import { measureFlood, measureLimits } from './limits.ts';
import { memory } from './memory.ts';
import { measureObserved } from './observe.ts';
import { measureOutage } from './outage.ts';
import { measureOverload } from './overload.ts';
import type { Bench, Part } from './part.ts';
import { measurePlugin } from './plugin.ts';
import { profileHit } from './profile.ts';
import { measureSchemathesis } from './schemathesis.ts';
import { measureVerify } from './verify.ts';

/** In the order in which they run. */
export const PARTS: readonly Part[] = [
  exchange,
  {
    name: 'verify',
    about: '/verify beside a bare handler, and nginx with /verify beside nginx alone',
    run: (bench) => onStack(bench, (stack) => measureVerify(stack, bench)),
  },
  {
    name: 'profile',
    about: 'where the time of a hit goes, by the profiler of V8',
    run: (bench) => onStack(bench, (stack) => profileHit(stack, bench.report)),
  },
  {
    name: 'observe',
    named: true,
    about: 'hits with metrics and traces beside hits without',
    run: (bench) => onStack(bench, (stack) => measureObserved(stack, bench)),
  },
  {
    name: 'limits',
    named: true,
    about: `/verify with a key that is limited in memory beside one that isn't; 30 s of 1,000/s at three
brokers with Redis, and what others notice of it`,
    async run(bench) {
      const lines = await onStack(bench, (stack) => measureLimits(stack, bench));
      await pin(process.pid, ALL_CORES);
      return [...lines, ...(await measureFlood(30, bench.report))];
    },
  },
  {
    name: 'plugin',
    about: `creds of the secrets plugin in a real Vault beside HashiCorp's own kv engine run as an
external plugin, and the kv v2 that is built in; its start, and its memory after a soak`,
    run: measurePlugin,
  },
  memory,
  {
    name: 'keyless',
    named: true,
    about: "token exchange with a workload's own JWT beside the same with a Vault token",
    run: ({ rounds, seconds, report }) => measureKeyless(rounds, seconds, report),
  },
  {
    name: 'outage',
    named: true,
    about: 'Vault stopped (SIGSTOP) under a steady load of hits, with a cold exchange each second',
    run: (bench) => onStack(bench, (stack) => measureOutage(stack, bench.outage, bench.report), { pinned: false }),
  },
  {
    name: 'overload',
    about: 'five times what the broker can do, of one tenant: what is served, and how long another waits',
    run: (bench) => onStack(bench, (stack) => measureOverload(stack, bench)),
  },
  {
    name: 'doors',
    named: true,
    about: '100 tenants and 100 APIs, every door at random: answers for the wrong tenant',
    run: async ({ report }) => [await measureDoors(report)],
  },
  {
    name: 'bulk',
    named: true,
    about: 'tenant import beside a loop of its calls; lists, prune and doctor with many tenants',
    run: (bench) => onStack(bench, (stack) => measureBulk(stack, bench), { pinned: false }),
  },
  {
    name: 'schemathesis',
    named: true,
    about: 'the OpenAPI documents of the admin API and the OAuth endpoints held against the servers',
    run: async ({ report }) => [await measureSchemathesis(report)],
  },
];

/** A Vault, an Auth0 and a broker of its own for each part, so that it measures alone what it measures among others. */
async function onStack<T>(
  { report, signal }: Bench,
  measure: (stack: Stack) => Promise<T>,
  { pinned = true, env = {} }: { pinned?: boolean; env?: Readonly<Record<string, string>> } = {},
): Promise<T> {
  await using stack = await startStack({ report, signal, env });
  if (pinned) await Promise.all([pin(stack.broker.child.pid, SERVER_CORE), pin(stack.vault.pid, SERVER_CORE), pin(process.pid, LOAD_CORE)]);
  return await measure(stack);
}
