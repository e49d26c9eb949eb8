import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startChild } from './child.ts';
import type { Child } from './child.ts';
import { freePort } from './port.ts';
import { noteSecret } from './secret.ts';
import type { Reaper } from '#tools/process/reaper.ts';

export interface SelfServiceOptions {
  /** Its port on 127.0.0.1; another where that is taken. */
  port: number;
  /** The web application at Auth0, once it is known where the page is. */
  application: (address: string) => { clientId: string; clientSecret: string };
  auth0Issuer: string;
  /** `org_…` of the customer whose page it is. */
  organization: string;
  brokerIssuer: string;
  audience: string;
  logFile: string;
  reaper: Reaper;
  signal?: AbortSignal | undefined;
}

export interface SelfService {
  /** `http://127.0.0.1:PORT`. */
  address: string;
  child: Child;
}

const SERVER = fileURLToPath(new URL('../examples/self-service/server.mjs', import.meta.url));

/**
 * Runs `examples/self-service`, a customer's page of a SaaS company, with settings as its README has them.
 * @throws Error when it ends, or doesn't answer within 20 s
 */
export async function startSelfService(options: SelfServiceOptions): Promise<SelfService> {
  for (let attempt = 1; ; attempt += 1) {
    const port = attempt === 1 ? options.port : await freePort();
    const started = await launch(options, `http://127.0.0.1:${port}`);
    if (started !== undefined) return started;
    if (attempt === 5) throw new Error('examples/self-service found no free port');
  }
}

/** @returns undefined when somebody else has its port */
async function launch(options: SelfServiceOptions, address: string): Promise<SelfService | undefined> {
  const { clientId, clientSecret } = options.application(address);
  const child = await startChild({
    name: 'self-service',
    command: process.execPath,
    args: [SERVER],
    env: {
      PATH: process.env['PATH'] ?? '',
      BASE_URL: address,
      AUTH0_ISSUER: options.auth0Issuer,
      AUTH0_CLIENT_ID: clientId,
      AUTH0_CLIENT_SECRET: clientSecret,
      AUTH0_ORGANIZATION: options.organization,
      POSTERN_ISSUER: options.brokerIssuer,
      POSTERN_SELF_AUDIENCE: options.audience,
      SESSION_SECRET: noteSecret('session secret', randomBytes(32).toString('base64url')),
    },
    logFile: options.logFile,
    reaper: options.reaper,
  });
  try {
    for (const deadline = Date.now() + 20_000; !(await answers(address)); await sleep(50)) {
      options.signal?.throwIfAborted();
      if (!child.running) {
        const { port } = new URL(address);
        if ((await freePort(Number(port))) !== Number(port)) return undefined;
        throw new Error(`examples/self-service ended while starting (${await child.ended})`);
      }
      if (Date.now() > deadline) throw new Error('examples/self-service did not answer within 20 s');
    }
    return { address, child };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

async function answers(address: string): Promise<boolean> {
  const response = await fetch(`${address}/style.css`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok === true;
}
