import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startChild } from './child.ts';
import { freePort } from './port.ts';
import type { Child } from './child.ts';
import { NODE_OPTIONS } from '#tools/dist/node-options.ts';
import type { Reaper } from '#tools/process/reaper.ts';

export interface BrokerOptions {
  vaultAddress: string;
  roleId: string;
  /** A file (0600) with the response-wrapping token that holds the broker's secret_id. */
  wrappedSecretIdFile: string;
  /** Issuer of the Auth0 tenant, with its slash. */
  auth0Issuer: string;
  binding: 'action' | 'organization';
  logFile: string;
  /** At least what says that it listens. */
  logLevel: 'info' | 'debug' | 'trace';
  reaper: Reaper;
  /** TCP port on 127.0.0.1; default any free one. */
  port?: number;
  /** TCP port of the admin API. Default: there is none. */
  adminPort?: number | undefined;
  /** Further settings of broker/config.ts; never a secret. */
  env?: Record<string, string>;
  signal?: AbortSignal;
}

export interface BrokerProcess {
  /** `http://127.0.0.1:PORT/`, as its tokens name it. */
  issuer: string;
  child: Child;
  /** `http://127.0.0.1:PORT` of the admin API. */
  admin: string | undefined;
}

/**
 * Starts `broker/main.ts` as a process of its own, with the options of Node that it is deployed with, and waits until it is ready.
 * @throws Error when it ends, or isn't ready within 20 s; its log says why
 */
export async function startBrokerProcess(options: BrokerOptions): Promise<BrokerProcess> {
  for (let attempt = 1; ; attempt += 1) {
    // Whoever else starts at the same time may take a free port before the broker has it.
    const port = attempt === 1 && options.port !== undefined ? options.port : await freePort();
    const adminPort = attempt === 1 || options.adminPort === undefined ? options.adminPort : await freePort();
    const started = await launch(options, port, adminPort);
    if (started !== undefined) return started;
    if (attempt === 5) throw new Error('the broker found no free port');
  }
}

/** @returns undefined when somebody else has one of its ports */
async function launch(options: BrokerOptions, port: number, adminPort: number | undefined): Promise<BrokerProcess | undefined> {
  const issuer = `http://127.0.0.1:${port}/`;
  const said = async (): Promise<string> => readFile(options.env?.['POSTERN_LOG_FILE'] ?? options.logFile, 'utf8').catch(() => '');
  const before = (await said()).length;
  const compiled = process.env['NODE_COMPILE_CACHE'];
  const child = await startChild({
    name: 'broker',
    command: process.execPath,
    args: [...NODE_OPTIONS, fileURLToPath(import.meta.resolve('#broker/main.ts'))],
    env: {
      PATH: process.env['PATH'] ?? '',
      // Who starts many of us has named a folder for what V8 makes of our sources: half of a start's work.
      ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
      POSTERN_ISSUER: issuer,
      POSTERN_LISTEN: `127.0.0.1:${port}`,
      VAULT_ADDR: options.vaultAddress,
      POSTERN_ROLE_ID: options.roleId,
      POSTERN_WRAPPED_SECRET_ID_FILE: options.wrappedSecretIdFile,
      POSTERN_AUTH0_ISSUER: options.auth0Issuer,
      POSTERN_AUTH0_BINDING: options.binding,
      POSTERN_LOG_LEVEL: options.logLevel,
      // There is no balancer that has to notice the end.
      POSTERN_LAME_DUCK: '0',
      ...(adminPort === undefined ? {} : { POSTERN_ADMIN_LISTEN: `127.0.0.1:${adminPort}` }),
      ...options.env,
    },
    logFile: options.logFile,
    reaper: options.reaper,
  });
  try {
    const deadline = Date.now() + 20_000;
    // Its own word first: another stack's broker may have got the port in this moment, and would answer that it is ready.
    while (!((await said()).slice(before).includes('"postern listens"') && (await ready(issuer)))) {
      options.signal?.throwIfAborted();
      if (!child.running) throw new Error(`the broker ended while starting (${await child.ended})`);
      if (Date.now() > deadline) throw new Error('the broker was not ready within 20 s');
      await sleep(25);
    }
    return { issuer, child, admin: adminPort === undefined ? undefined : `http://127.0.0.1:${adminPort}` };
  } catch (error) {
    await child.stop();
    // The log goes away with the stack: its end must be in the message.
    const log = await said();
    if (!child.running && (await taken(port, adminPort))) return undefined;
    throw new Error(`${(error as Error).message}\n${log.trimEnd().split('\n').slice(-5).join('\n')}`.trimEnd(), { cause: error });
  }
}

/** Whether somebody listens at one of them. */
async function taken(...ports: (number | undefined)[]): Promise<boolean> {
  for (const port of ports) if (port !== undefined && (await freePort(port)) !== port) return true;
  return false;
}

async function ready(issuer: string): Promise<boolean> {
  try {
    const response = await fetch(`${issuer}readyz`, { redirect: 'error', signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
