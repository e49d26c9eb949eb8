import { readFile } from 'node:fs/promises';
import { LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { formOf, startCrowd } from './crowd.ts';
import type { Crowd } from './crowd.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';
import { NotHere } from './part.ts';
import type { Bench, Part } from './part.ts';
import { postAnyOf, postForm } from './wrk.ts';

const FEW = 10;
/** Of the many, those that are asked for in a round: all of them can't be verified anew within the 30 s for which that holds. */
const ASKED = 2_000;
/** Between two looks at the memory, seconds of load. */
const CHUNK = 10;

/** What 100,000 tenants cost a broker, and whether its memory grows with requests. The Vault is a stand-in, the broker is real. */
export const memory: Part = {
  name: 'memory',
  named: true,
  about: `a broker that has 100,000 tenants' tokens in memory beside one that has ten: memory, and the p50 of
hits; memory over 5,000,000 requests`,
  async run(bench) {
    await using few = await startCrowd();
    await few.ask(Array(FEW).keys());
    const [empty, lines] = [await resident(few.pid), [] as Line[]];
    {
      await using many = await startCrowd();
      await pin(process.pid, LOAD_CORE);
      bench.report(`memory: the first exchanges of ${bench.crowd} tenants`);
      await many.ask(Array(bench.crowd).keys());
      bench.report('memory: each of them again, since what a hit needs is made at the first one');
      await many.ask(Array(bench.crowd).keys());
      lines.push(held(await resident(many.pid), empty, bench.crowd), await latency(few, many, bench));
    }
    lines.push(await growth(few, bench));
    return lines;
  },
};

/** MB. */
async function resident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => {
    throw new NotHere('there is no /proc to read memory from');
  });
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

function held(megabytes: number, empty: number, crowd: number): Line {
  const each = Math.round(((megabytes - empty) * 2 ** 20) / crowd);
  return {
    what: `memory with ${crowd.toLocaleString('en-US')} tenants' tokens, each asked for twice`,
    goal: '≤ 300 MB',
    measured: `${megabytes.toFixed(0)} MB resident; ${each} bytes a tenant more than the ${empty.toFixed(0)} MB with ${FEW}`,
    reached: megabytes <= 300,
  };
}

async function latency(few: Crowd, many: Crowd, { rounds, seconds, crowd, report, signal }: Bench): Promise<Line> {
  const [fews, manys, ratios]: [number[], number[], number[]] = [[], [], []];
  for (const { pid } of [few, many]) await pin(pid, SERVER_CORE);
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? 'memory: warming up' : `memory: round ${round} of ${rounds}`);
    // Spread over all, and others each round.
    const asked = Array.from({ length: ASKED }, (_, at) => (Math.floor((at * crowd) / ASKED) + round) % crowd);
    const run = {
      few: async () => {
        const all = [...Array(FEW).keys()];
        await few.ask(all);
        return (await postAnyOf(few.url, all.map(formOf), seconds)).p50;
      },
      many: async () => {
        await many.ask(asked);
        return (await postAnyOf(many.url, asked.map(formOf), seconds)).p50;
      },
    };
    const took = { few: 0, many: 0 };
    for (const name of round % 2 === 0 ? (['few', 'many'] as const) : (['many', 'few'] as const)) took[name] = await run[name]();
    if (round === 0) continue;
    fews.push(took.few);
    manys.push(took.many);
    ratios.push(took.many / took.few);
  }
  const ratio = median(ratios);
  return {
    what: `hit p50, ${ASKED} of ${crowd.toLocaleString('en-US')} tenants by chance over ${FEW} of ${FEW}`,
    goal: '≤ 1.2×',
    measured:
      `${ratio.toFixed(2)}× (${median(manys).toFixed(2)} ms over ${median(fews).toFixed(2)} ms; ` +
      `rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
    reached: ratio <= 1.2,
  };
}

async function growth(broker: Crowd, { requests, report, signal }: Bench): Promise<Line> {
  await pin(broker.pid, SERVER_CORE);
  const seen: { done: number; megabytes: number }[] = [];
  for (let done = 0; done < requests;) {
    signal.throwIfAborted();
    done += (await postForm(broker.url, formOf(done % FEW), CHUNK)).requests;
    seen.push({ done, megabytes: await resident(broker.pid) });
    report(`memory: ${done.toLocaleString('en-US')} of ${requests.toLocaleString('en-US')} requests`);
  }
  // A process takes what it needs for load in its first tenth.
  const at = (from: number, to: number): number =>
    median(
      seen
        .filter(({ done }, index) => index === seen.length - 1 || (done >= from * requests && done <= to * requests))
        .map(({ megabytes }) => megabytes),
    );
  const [early, late] = [at(0.1, 0.3), at(0.8, 1.2)];
  const grown = late / early - 1;
  return {
    what: `memory from the first to the last fifth of ${seen.at(-1)!.done.toLocaleString('en-US')} requests`,
    goal: '≤ +2 %',
    measured: `${grown >= 0 ? '+' : ''}${(grown * 100).toFixed(1)} % (${early.toFixed(0)} MB, then ${late.toFixed(0)} MB)`,
    reached: grown <= 0.02,
  };
}
