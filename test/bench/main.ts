import { parseArgs } from 'node:util';
import { ALL_CORES, LOAD_CORE, pin } from './cores.ts';
import { NotHere } from './part.ts';
import type { Bench, Part } from './part.ts';
import { PARTS } from './parts.ts';
import { machineOf } from './machine.ts';
import { keepResult, writeReport } from './results.ts';
import type { PartResult } from './results.ts';
import { findWrk } from './wrk.ts';

const NAMES = PARTS.map(({ name }) => name);
const UNASKED = PARTS.filter(({ named }) => !named).map(({ name }) => name);

const HELP = `Usage: make bench [ARGS='--only PART[,PART] --rounds N --seconds N --soak N --json']

Measures, all in one run, turn by turn, servers on core 0 and the load on core 1, prints it, and writes what was measured, with
every round, to docs/benchmarks/; parts that don't run keep what they had there. In a quarter of an hour (some minutes more the
first time, in which it builds what is measured beside):

${toldOf(PARTS.filter(({ named }) => !named))}

Only where they are named, from one minute (observe) to a quarter of an hour (memory):

${toldOf(PARTS.filter(({ named }) => named))}

Options:
  --only PARTS   some of them (all: each there is; none: write docs/benchmarks/README.md and the plot anew)
  --rounds N     rounds of each comparison (default 5)
  --seconds N    of each run (default 2)
  --outage N     seconds for which Vault is stopped (default 30)
  --imported N   tenants of each import (default 120)
  --tenants N    tenants that are listed (default: those of the imports)
  --soak N       seconds of load before the plugin's memory is read (default 45)
  --crowd N      tenants that a broker has in memory (default 100000)
  --requests N   requests over which memory may not grow (default 5000000)
  --json         print it for a program
  --dry          write nothing
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: UNASKED.join(',') },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    soak: { type: 'string', default: '45' },
    outage: { type: 'string', default: '30' },
    imported: { type: 'string', default: '120' },
    tenants: { type: 'string', default: '0' },
    crowd: { type: 'string', default: '100000' },
    requests: { type: 'string', default: '5000000' },
    json: { type: 'boolean' },
    dry: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const only = new Set(values.only === 'none' ? [] : values.only === 'all' ? NAMES : values.only.split(','));
for (const part of only) if (!NAMES.includes(part)) throw new Error(`--only: there is no ${part}; there are ${NAMES.join(', ')}`);
const report = (line: string): void => void process.stderr.write(`${line}\n`);
const abort = new AbortController();
process.once('SIGINT', () => abort.abort()).once('SIGTERM', () => abort.abort());
const bench: Bench = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  soak: Number(values.soak),
  outage: Number(values.outage),
  imported: Number(values.imported),
  tenants: Number(values.tenants),
  crowd: Number(values.crowd),
  requests: Number(values.requests),
  report,
  signal: abort.signal,
};

if (only.size > 0) await findWrk(report);
const results: PartResult[] = [];
for (const part of PARTS.filter(({ name }) => only.has(name))) {
  abort.signal.throwIfAborted();
  const begun = performance.now();
  const machine = await machineOf();
  if (!(await pin(process.pid, LOAD_CORE))) report('no taskset here: server and load share the cores, so the ratios are rougher');
  const about = {
    part: part.name,
    at: new Date().toISOString(),
    machine,
    options: { rounds: bench.rounds, seconds: bench.seconds },
  };
  const took = (): number => Math.round((performance.now() - begun) / 1000);
  try {
    const lines = await part.run(bench);
    results.push({ ...about, took: took(), lines });
  } catch (error) {
    abort.signal.throwIfAborted();
    const told = error instanceof Error ? error.message : String(error);
    report(`${part.name}: ${told}`);
    results.push({ ...about, took: took(), lines: [], [error instanceof NotHere ? 'notHere' : 'failed']: told });
  }
  await pin(process.pid, ALL_CORES);
  const result = results.at(-1)!;
  print(result);
  // At once: what a later part does can't take it away.
  if (!values.dry && result.failed === undefined) await keepResult(result);
}
if (!values.dry) await writeReport(NAMES);
if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
if (results.some(({ failed }) => failed !== undefined)) process.exitCode = 1;

function toldOf(parts: readonly Part[]): string {
  return parts.map(({ name, about }) => `  ${name.padEnd(13)} ${about.replaceAll('\n', `\n${' '.repeat(16)}`)}`).join('\n');
}

function print({ part, took, lines, failed, notHere }: PartResult): void {
  if (values.json) return;
  process.stdout.write(
    `${part}, ${took} s${failed === undefined ? '' : `: failed: ${failed}`}${notHere === undefined ? '' : `: not here: ${notHere}`}\n`,
  );
  const width = Math.max(0, ...lines.map(({ what }) => what.length));
  for (const { what, goal, measured, reached } of lines)
    process.stdout.write(
      `${{ true: 'ok  ', false: 'MISS', undefined: '-   ' }[`${reached}`]} ${what.padEnd(width)}  ${goal.padEnd(8)} ${measured}\n`,
    );
}
