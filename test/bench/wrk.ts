import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { LOAD_CORE } from './cores.ts';

/** What wrk reports of one run. */
export interface Load {
  /** Requests a second. */
  rate: number;
  requests: number;
  errors: number;
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

/** POSTs one form over and over from 32 keep-alive connections. */
export function postForm(url: string, form: Record<string, string>, seconds: number): Promise<Load> {
  return run(
    url,
    `wrk.method = "POST"
wrk.body = ${JSON.stringify(new URLSearchParams(form).toString())}
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"`,
    seconds,
  );
}

/** GETs one address over and over, likewise. */
export function get(url: string, headers: Record<string, string>, seconds: number): Promise<Load> {
  return run(
    url,
    Object.entries(headers)
      .map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
      .join('\n'),
    seconds,
  );
}

/** The request holds a secret, so it goes by a file of our own, not by argument. */
async function run(url: string, request: string, seconds: number): Promise<Load> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-'));
  try {
    const script = join(folder, 'request.lua');
    await writeFile(
      script,
      `${request}
function done(summary)
  io.write(string.format("RESULT %d %d %d\\n",
    summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
`,
      { mode: 0o600 },
    );
    const wrk = ['wrk', '-t1', '-c32', `-d${seconds}s`, '-s', script, url];
    const command = (await which('taskset')) ? ['taskset', '-c', LOAD_CORE, ...wrk] : wrk;
    const { stdout } = await execa(command[0]!, command.slice(1));
    const match = /^RESULT (\d+) (\d+) (\d+)$/m.exec(stdout);
    if (!match) throw new Error('wrk printed no result');
    const [requests, microseconds, errors] = match.slice(1).map(Number) as [number, number, number];
    return { rate: requests / (microseconds / 1e6), requests, errors };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
