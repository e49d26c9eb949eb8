import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { keptCompiled } from '#test/fixture/compile-cache.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { builtProgram } from '#test/fixture/program.ts';

/** What is released, not the checkout's: a thousand starts of it cost half. The checkout's start is tried in `test/e2e`. */
export const MAIN = await builtProgram();

const logs = process.env['POSTERN_TEST_LOGS'];

export interface Ran {
  code: number | undefined;
  stdout: string;
  stderr: string;
  /** stdout, which must be one JSON document. */
  json: Record<string, any>;
}

export interface RunOptions {
  /** The whole environment but PATH and HOME. */
  env?: Record<string, string | undefined>;
  /** What is piped in; nothing by default. */
  input?: string;
  /** Milliseconds. Default one minute. */
  timeout?: number;
}

/** The CLI as a process of its own, with pipes: what it says to the person goes to the logs that are searched for secrets. */
export function spawnPostern(args: readonly string[], options: RunOptions = {}) {
  return execa(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env['PATH'], HOME: join(tmpdir(), 'nobody'), ...keptCompiled(), ...options.env },
    extendEnv: false,
    reject: false,
    input: options.input ?? '',
    timeout: options.timeout ?? 60_000,
    stripFinalNewline: false,
  });
}

export async function postern(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { exitCode, stdout, stderr } = await spawnPostern(args, options);
  log(args, exitCode, stderr);
  return {
    code: exitCode,
    stdout,
    stderr,
    get json() {
      const document = JSON.parse(stdout) as Record<string, any>;
      for (const name of ['secret_id', 'wrapping_token', 'access_token', 'key'])
        if (typeof document[name] === 'string') registerSecret(name, document[name]);
      return document;
    },
  };
}

/** Of the arguments only the command: some tests give a secret where none belongs. */
export function log(args: readonly string[], code: number | undefined, stderr: string): void {
  // `who` is a command of one word.
  const command = args.slice(0, 2).filter((word) => /^[a-z-]{1,20}$/.test(word));
  if (logs) appendFileSync(join(logs, `cli-${process.pid}.log`), `$ postern ${command.join(' ')} …\n${stderr}exit ${code}\n`);
}
