import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { LOAD_CORE } from './cores.ts';
import { cpuTime } from './cpu.ts';
import type { Sample } from './line.ts';

/** What wrk reports of one run. */
export interface Load extends Sample {
  readonly requests: number;
  /** Of the latencies, ms. */
  readonly p50: number;
  readonly p99: number;
}

/**
 * wrk from PATH, or from Debian's packages where we may install. Nothing written in Node makes enough load on one core. @throws Error with
 * the remedy
 */
export async function findWrk(report: (line: string) => void): Promise<void> {
  if (!(await execa('wrk', ['-v'], { reject: false })).failed || (await which('wrk'))) return;
  if (process.getuid?.() === 0 && (await which('apt-get'))) {
    report("installing wrk from Debian's packages");
    await execa('apt-get', ['update', '-qq'], { reject: false });
    await execa('apt-get', ['install', '-y', '-qq', 'wrk'], { reject: false, env: { DEBIAN_FRONTEND: 'noninteractive' } });
    if (await which('wrk')) return;
  }
  throw new Error('make bench needs wrk, the load generator: install it (apt-get install wrk, brew install wrk) and run again');
}

async function which(program: string): Promise<boolean> {
  return !(await execa('sh', ['-c', `command -v ${program}`], { reject: false })).failed;
}

/**
 * POSTs one form over and over, from 32 keep-alive connections unless said.
 * @param pids of the server, whose processor time is noted
 */
export function postForm(
  url: string,
  form: Record<string, string>,
  seconds: number,
  pids?: readonly number[],
  connections?: number,
): Promise<Load> {
  return run(
    url,
    pids,
    `wrk.method = "POST"
wrk.body = ${JSON.stringify(new URLSearchParams(form).toString())}
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"`,
    seconds,
    connections,
  );
}

/**
 * POSTs one after the other of many forms, by chance.
 * @param pids of the server, whose processor time is noted
 */
export function postAnyOf(url: string, forms: readonly Record<string, string>[], seconds: number, pids?: readonly number[]): Promise<Load> {
  return run(
    url,
    pids,
    `wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local bodies = {
${forms.map((form) => `  ${JSON.stringify(new URLSearchParams(form).toString())},`).join('\n')}
}
function request()
  return wrk.format("POST", nil, nil, bodies[math.random(#bodies)])
end`,
    seconds,
  );
}

/** As {@link postForm} by many clients that rest after each answer, so that about so many requests a second come, at random times. */
export function postPaced(
  url: string,
  form: Record<string, string>,
  { rate, seconds, pids }: { rate: number; seconds: number; pids: readonly number[] },
): Promise<Load> {
  const connections = 256;
  // Times between the arrivals of independent clients are exponential; wrk rests for whole milliseconds.
  return run(
    url,
    pids,
    `wrk.method = "POST"
wrk.body = ${JSON.stringify(new URLSearchParams(form).toString())}
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
function delay()
  return math.floor(0.5 - math.log(1 - math.random()) * ${((connections / rate) * 1_000).toFixed(3)})
end`,
    seconds,
    connections,
  );
}

/** GETs one address over and over, likewise. */
export function get(url: string, headers: Record<string, string>, seconds: number, pids?: readonly number[]): Promise<Load> {
  return run(
    url,
    pids,
    Object.entries(headers)
      .map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
      .join('\n'),
    seconds,
  );
}

/** The request holds a secret, so it goes by a file of our own, not by argument. @throws Error where one failed */
async function run(url: string, pids: readonly number[] | undefined, request: string, seconds: number, connections = 32): Promise<Load> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-'));
  try {
    const script = join(folder, 'request.lua');
    await writeFile(
      script,
      `${request}
function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n",
    summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`,
      { mode: 0o600 },
    );
    const wrk = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-s', script, url];
    const command = (await which('taskset')) ? ['taskset', '-c', LOAD_CORE, ...wrk] : wrk;
    const before = pids && (await cpuTime(pids));
    const { stdout } = await execa(command[0]!, command.slice(1));
    const after = pids && (await cpuTime(pids));
    const match = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout);
    if (!match) throw new Error('wrk printed no result');
    const [requests, microseconds, errors, p50, p99] = match.slice(1).map(Number) as [number, number, number, number, number];
    if (errors > 0) throw new Error(`${errors} of ${requests} requests failed under load`);
    const used = before && after && { cpu: (after.all - before.all) / requests, user: (after.user - before.user) / requests };
    return { rate: requests / (microseconds / 1e6), requests, ...used, p50: p50 / 1_000, p99: p99 / 1_000 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
