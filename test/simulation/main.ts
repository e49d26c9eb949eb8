import { parseArgs } from 'node:util';
import { bite } from './bite.ts';
import { planOf, said } from './plan.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulation.ts';
import type { Outcome } from './simulation.ts';

const HELP = `make simulate ARGS='...': brokers over a simulated Vault, Auth0, network and clock; all of a run follows from its seed

  --seeds N      how many to play (100)
  --from N       the first of them (1)
  --seed N       that one alone, with its history
  --on           goes on after a seed that fails, and only names it
  --bite [NAME]  puts faults into the brokers' code, one at a time, and says how many seeds each needed; NAME ...: only those
  --json         one line of JSON at the end
  --help         this

A seed that fails is made as short as it can be, told, and ends the run with 1.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    bite: { type: 'boolean', default: false },
    on: { type: 'boolean', default: false },
    'first-only': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** The end of a long history; what leads to a violation is near it. */
const LINES = 60;

function number(name: 'seeds' | 'from' | 'seed'): number {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is a whole number`);
  return value;
}

async function tell(seed: number, outcome: Outcome): Promise<void> {
  const least = await shrink(planOf(seed), outcome);
  const { settings, happenings } = least.plan;
  console.log(`\nseed ${seed}: ${least.outcome.violation?.rule}: ${least.outcome.violation?.text}`);
  console.log(`settings ${JSON.stringify(settings)}`);
  console.log(`what it takes (${happenings.length} of ${planOf(seed).happenings.length}):\n${happenings.map(said).join('\n')}`);
  console.log(`how it goes (the last ${LINES} lines):\n${least.outcome.history.slice(-LINES).join('\n')}`);
  console.log(`\nagain: make simulate ARGS='--seed ${seed}'`);
}

async function play(from: number, seeds: number): Promise<void> {
  const begun = performance.now();
  const sums = { seeds: 0, steps: 0, asks: 0, served: 0, mints: 0 };
  let failed: number | undefined;
  let failures = 0;
  for (let seed = from; seed < from + seeds && (values.on || failed === undefined); seed++) {
    const outcome = await simulate(planOf(seed));
    sums.seeds++;
    for (const what of ['steps', 'asks', 'served', 'mints'] as const) sums[what] += outcome[what];
    if (!values.json && sums.seeds % 1_000 === 0) console.log(`${sums.seeds} seeds, ${Math.round((performance.now() - begun) / 1000)} s`);
    if (outcome.violation === undefined) continue;
    failed ??= seed;
    failures++;
    if (values.on) console.log(`seed ${seed}: ${outcome.violation.rule}: ${outcome.violation.text}`);
    else if (!values['first-only']) await tell(seed, outcome);
  }
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  const cpu = Math.round(process.cpuUsage().user / 100_000) / 10;
  if (values.json) console.log(JSON.stringify({ ...sums, seconds, cpu, failed: failed ?? null, failures }));
  else
    console.log(
      `${sums.seeds} seeds from ${from}: ${failed === undefined ? 'nothing broke' : `${failures} broke a rule, the first is ${failed}`}; ${sums.steps} steps, ` +
        `${sums.asks} requests, ${sums.served} served, ${sums.mints} calls to Auth0; ${seconds} s (${cpu} s of processor)`,
    );
  if (failed !== undefined) process.exitCode = 1;
}

if (values.help) console.log(HELP);
else if (values.bite) await bite(positionals, number('seeds') === 100 ? 2_000 : number('seeds'), values.json);
else if (values.seed === undefined) await play(number('from'), number('seeds'));
else {
  const seed = number('seed');
  const outcome = await simulate(planOf(seed));
  if (outcome.violation === undefined) console.log(`${outcome.history.join('\n')}\nseed ${seed}: nothing broke; digest ${outcome.digest}`);
  else {
    await tell(seed, outcome);
    process.exitCode = 1;
  }
}
