import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { registerSecret } from '#test/fixture/ledger.ts';

export const MAIN = fileURLToPath(new URL('../../cli/postern.js', import.meta.url));

/** Two hundred starts of one program: what Node compiled once is kept for the run, whose set-up removes it. */
const logs = process.env['POSTERN_TEST_LOGS'];
const compiled = logs === undefined ? {} : { NODE_COMPILE_CACHE: join(dirname(logs), 'compiled') };

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
    env: { PATH: process.env['PATH'], HOME: join(tmpdir(), 'nobody'), ...compiled, ...options.env },
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
