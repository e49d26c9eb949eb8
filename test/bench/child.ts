import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SERVER_CORE, pin } from './cores.ts';

export interface Server {
  port: number;
  pid: number;
  stop(): Promise<void>;
}

export interface ServerOptions {
  /** On the servers' core. Default true. */
  pinned?: boolean;
  /** Of Node. */
  flags?: readonly string[];
}

/** Starts one of the servers beside this file. Secrets go by environment. */
export async function startServer(
  file: string,
  env: Record<string, string>,
  { pinned = true, flags = [] }: ServerOptions = {},
): Promise<Server> {
  const child = spawn(process.execPath, [...flags, fileURLToPath(new URL(file, import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', ...env },
  });
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`${file} ended with code ${code} before it listened`);
    }),
  ])) as [{ port: number }];
  if (pinned) await pin(child.pid!, SERVER_CORE);
  return {
    port: message.port,
    pid: child.pid!,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
