import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { startChild } from '#dev/child.ts';
import type { Child } from '#dev/child.ts';
import type { PluginVault } from '#test/fixture/plugin.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import type { Reaper } from '#tools/process/reaper.ts';
import { findServer } from '#tools/part/server.ts';
import { findVault } from '#tools/part/vault.ts';
import { postern } from './cli-run.ts';

export interface SidecarOptions {
  readonly vault: Pick<PluginVault, 'address' | 'folder'>;
  readonly reaper: Reaper;
  /** A token with the operators' policy. */
  readonly operator: string;
  readonly name: string;
  /** More of `postern agent config acme --out …`. */
  readonly args?: readonly string[];
  /** What becomes of the configuration before the Agent sees it. */
  readonly change?: (configuration: string) => string;
}

/** A Vault Agent that `postern agent config` has configured. */
export interface Sidecar {
  readonly name: string;
  /** Where the workload's token lies; a workload of `exec` writes what it has in its environment there. */
  readonly tokenFile: string;
  readonly secretIdFile: string;
  readonly logFile: string;
  /** The Agent starts the workload. */
  readonly supervised: boolean;
  /** Issues a secret_id and puts it where the Agent looks. @returns its accessor; undefined where it is wrapped */
  deliver(): Promise<string | undefined>;
  start(): Promise<void>;
  stop(): Promise<void>;
  restart(): Promise<void>;
}

export async function sidecar({ vault, reaper, operator, name, args = [], change }: SidecarOptions): Promise<Sidecar> {
  const folder = join(vault.folder, name);
  const env = { VAULT_ADDR: vault.address, VAULT_TOKEN: operator };
  const made = await postern(['agent', 'config', 'acme', '--out', folder, ...args], { env });
  if (made.code !== 0) throw new Error(`agent config: exit ${made.code}: ${made.stderr}`);
  const configuration = join(folder, 'agent.hcl');
  if (change !== undefined) await writeFile(configuration, change(await readFile(configuration, 'utf8')));
  const secretIdFile = join(folder, 'secret-id');
  const logFile = join(process.env['POSTERN_TEST_LOGS'] ?? vault.folder, `agent-${name}.log`);
  // OpenBao's takes tokens in KV for deleted ones (docs/testing.md).
  const { path: binary } = await (args.includes('--kv') ? findVault() : findServer());
  let child: Child | undefined;
  const one: Sidecar = {
    name,
    tokenFile: join(folder, 'token'),
    secretIdFile,
    logFile,
    supervised: args.includes('--'),
    async deliver() {
      const wrapped = args.includes('--wrapped');
      const { json } = await postern(['secret', 'issue', 'acme', '--json', ...(wrapped ? [] : ['--no-wrap'])], { env });
      await writeFile(`${secretIdFile}.new`, String(wrapped ? json['wrapping_token'] : json['secret_id']), { mode: 0o600 });
      await rename(`${secretIdFile}.new`, secretIdFile);
      return json['accessor'] as string | undefined;
    },
    async start() {
      child = await startChild({
        name: 'vault agent',
        command: binary,
        args: ['agent', `-config=${configuration}`],
        env: { PATH: process.env['PATH'] ?? '', HOME: vault.folder, SKIP_SETCAP: '1', SEEN: join(folder, 'token') },
        logFile,
        reaper,
      });
    },
    async stop() {
      await child?.stop();
    },
    async restart() {
      await one.stop();
      await one.start();
    },
  };
  return one;
}

/** Writes down what it has in its environment, ten times a second as long as it runs. @returns its command */
export async function workload(folder: string): Promise<string[]> {
  const script = join(folder, 'workload.sh');
  await writeFile(script, 'while :; do printf %s "$ACCESS_TOKEN" > "$SEEN.new"; mv "$SEEN.new" "$SEEN"; sleep 0.1; done\n');
  return ['/bin/sh', script];
}

/** The token that the workload has; undefined where there is none yet. */
export async function tokenOf({ tokenFile }: Sidecar): Promise<string | undefined> {
  const text = await readFile(tokenFile, 'utf8').catch(() => '');
  if (text === '') return undefined;
  registerSecret('access token', text);
  return text;
}

/** A workload that has written nothing for so long isn't running, ms. */
const ALIVE = 1_000;

const writtenAt = (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

/** What a workload saw that looks all the time. */
export class Watch {
  readonly sidecar: Sidecar;
  readonly seen = new Map<string, { written: number; expires: number }>();
  looks = 0;
  /** Looks at a token that had ended. */
  ended = 0;
  /** The file was there and is gone, or is empty. */
  missing = 0;
  /** Looks at a supervised workload that wasn't running. */
  absent = 0;
  /** Of the token at hand, ms left at its worst. */
  closest = Number.POSITIVE_INFINITY;
  #stopped = false;
  readonly #watching: Promise<void>;

  constructor(one: Sidecar) {
    this.sidecar = one;
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const token = await tokenOf(this.sidecar);
      const now = Date.now();
      // What a supervised workload wrote down is what it has, as long as it runs.
      if (this.sidecar.supervised && now - (await writtenAt(this.sidecar.tokenFile)) > ALIVE) {
        this.absent++;
        await sleep(25);
        continue;
      }
      if (token === undefined) {
        if (this.seen.size > 0) this.missing++;
      } else {
        const expires = (decodeJwt(token).exp ?? 0) * 1_000;
        this.looks++;
        if (expires <= now) this.ended++;
        this.closest = Math.min(this.closest, expires - now);
        if (!this.seen.has(token)) this.seen.set(token, { written: now, expires });
      }
      await sleep(25);
    }
  }
}

export async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}
