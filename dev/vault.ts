import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findServer } from '#tools/part/server.ts';
import { startChild } from './child.ts';
import { freePort } from './port.ts';
import { startReaper } from '#tools/process/reaper.ts';
import type { Child } from './child.ts';
import type { Reaper } from '#tools/process/reaper.ts';

export interface DevVaultOptions {
  /** The Vault program. Default: as `findServer` finds it. */
  binary?: string;
  /** Its home, where nothing is expected to be written but its log. Default: a temporary folder that goes away with it. */
  folder?: string;
  /** Where its log goes. Default: `vault.log` in that folder. */
  logFile?: string;
  logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** Further arguments of `vault server`. Never a secret. */
  args?: readonly string[];
  /** Lines of its configuration file, beside what dev mode sets. */
  configuration?: readonly string[];
  /** Who ends it when we are killed. Default: one of its own. */
  reaper?: Reaper;
  report?: (line: string) => void;
  signal?: AbortSignal;
}

export interface DevVault {
  /** `http://127.0.0.1:PORT`. */
  address: string;
  rootToken: string;
  /** Opens it again after `sys/seal`. Base64. */
  unsealKey: string;
  pid: number;
  /** Resolves when it has ended, with how. */
  ended: Promise<string>;
  logs(): Promise<string>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A dev-mode Vault (in memory, unsealed) on a free loopback port. Its root token comes by
 * environment; the banner that prints it and the unseal key never reaches the log.
 * @throws Error when it doesn't answer within 20 s
 */
export async function startDevVault(options: DevVaultOptions = {}): Promise<DevVault> {
  const binary = options.binary ?? (await findServer(options.report)).path;
  const reaper = options.reaper ?? startReaper();
  // Also for the sockets of Vault's plugins, whose path must be short.
  const temporary = mkdtempSync(join(tmpdir(), 'postern-vault-'));
  reaper.watchFolder(temporary);
  const folder = options.folder ?? temporary;
  const logFile = options.logFile ?? join(folder, 'vault.log');
  const clean = async (): Promise<void> => {
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
    if (!options.reaper) await reaper.close();
  };
  try {
    const rootToken = `postern-dev-${randomBytes(18).toString('base64url')}`;
    const args = [...(options.args ?? []), ...(await configured(folder, options.configuration ?? []))];
    const { child, address, unsealKey } = await launch({ ...options, binary, logFile, reaper, folder, temporary, rootToken, args });
    const stop = async (): Promise<void> => {
      await child.stop();
      await clean();
    };
    return {
      address,
      rootToken,
      unsealKey,
      pid: child.pid,
      ended: child.ended,
      logs: () => readFile(logFile, 'utf8').catch(() => ''),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await clean();
    throw error;
  }
}

type Launch = DevVaultOptions &
  Required<Pick<DevVaultOptions, 'binary' | 'folder' | 'logFile' | 'reaper'>> & {
    rootToken: string;
    temporary: string;
    args: readonly string[];
  };

/** What can't be had by argument or API, in a file. @returns the argument that names it */
async function configured(folder: string, lines: readonly string[]): Promise<string[]> {
  if (lines.length === 0) return [];
  const file = join(folder, 'server.hcl');
  await writeFile(file, `${lines.join('\n')}\n`);
  return [`-config=${file}`];
}

/** An audit device as OpenBao wants it: declared, since it refuses them by API. @param file or `stdout` */
export function auditDevice(file: string): string {
  return `audit "file" "postern" {\n  options {\n    file_path = ${JSON.stringify(file)}\n  }\n}`;
}

async function launch(options: Launch): Promise<{ child: Child; address: string; unsealKey: string }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    let unsealKey = '';
    const child = await startChild({
      name: 'vault',
      command: options.binary,
      args: ['server', '-dev', '-dev-no-store-token', `-dev-listen-address=127.0.0.1:${port}`, ...options.args],
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: options.folder,
        TMPDIR: options.temporary,
        VAULT_DEV_ROOT_TOKEN_ID: options.rootToken,
        VAULT_LOG_LEVEL: options.logLevel ?? 'info',
        SKIP_SETCAP: '1',
      },
      logFile: options.logFile,
      reaper: options.reaper,
      filter(line) {
        const key = /^\s*Unseal Key:\s*(\S+)/.exec(line)?.[1];
        if (key !== undefined) unsealKey = key;
        return key !== undefined || line.includes(options.rootToken) ? undefined : line;
      },
    });
    try {
      const answer = await answering(child, address, options.rootToken, options.signal);
      // The banner with the unseal key may come a moment after the first answer.
      for (let i = 0; answer === 'ready' && unsealKey === '' && i < 200; i += 1) await sleep(5);
      if (answer === 'ready') return { child, address, unsealKey };
      if (attempt === 5) throw new Error(`Vault ended while starting (${answer}); its log: ${options.logFile}`);
    } catch (error) {
      await child.stop();
      throw error;
    }
  }
}

/** `ready` when *this* Vault answers: the token proves that nobody else got the port first. Else how it ended. */
async function answering(child: Child, address: string, token: string, signal?: AbortSignal): Promise<string> {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    signal?.throwIfAborted();
    if (!child.running) return child.ended;
    const ok = await fetch(`${address}/v1/auth/token/lookup-self`, {
      headers: { 'X-Vault-Token': token },
      redirect: 'error',
      signal: AbortSignal.timeout(2_000),
    }).then(
      (response) => response.body?.cancel().then(() => response.ok),
      () => false,
    );
    if (ok === true) return 'ready';
    await sleep(25);
  }
  throw new Error('Vault did not answer within 20 s');
}
