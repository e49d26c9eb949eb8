#!/usr/bin/env node
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { PosternError } from '#broker/error.ts';
import { version } from '#broker/version.ts';
import { Output, exitCodeOf, isNeeded } from './output.ts';
import type { Terminal } from './output.ts';
import { watchInterrupt } from './interrupt.ts';

/** A command that was interrupted gets so long to leave things in order, ms: a revocation is announced first. */
const GRACE_MS = 15_000;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A secret may have been issued whose only copy is lost: that must not go unseen, and its command leaves things in order.
  if (isNeeded(process.stdout)) return;
  // `postern tenant list | head -1` closes our output early, which is not a fault.
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`error: the result can't be written (${error.code})\n`);
  process.exit(1);
});
// Who reads what is said beside the result may go away; what is being done is done to its end.
process.stderr.on('error', () => {});

/** Not at the top level: a script of a single executable can't wait there. */
async function main(): Promise<void> {
  const interrupt = watchInterrupt();
  const { stdin, stdout, stderr, env } = process;
  try {
    // Loaded only here: it brings an HTTP client.
    if (['HTTPS_PROXY', 'HTTP_PROXY'].some((name) => env[name] || env[name.toLowerCase()]))
      (await import('#broker/proxy.ts')).useProxies(env);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    stderr.write(`error: ${error.message}\n`);
    process.exit(error.exitCode);
  }
  const serve = async (): Promise<never> => {
    // Loaded only here: no other command needs the doors.
    const { serve: broker } = await import('#broker/main.ts');
    interrupt[Symbol.dispose]();
    await broker();
    // It ends the process itself when it is told to stop.
    return new Promise<never>(() => {});
  };
  const args = process.argv.slice(2);
  const terminal = {
    env,
    stdin,
    stdout,
    stderr,
    signal: interrupt.signal,
    serve,
    check: async (options: { login?: boolean | undefined }) => (await import('#broker/main.ts')).check(options),
  };
  const running = commandLine(args, terminal).catch(() => interrupt.exitCode || 1);
  const interrupted = new Promise<void>((resolve) => interrupt.signal.addEventListener('abort', () => resolve(), { once: true }));
  const late = interrupted.then(() => sleep(GRACE_MS, undefined, { ref: false })).then(() => interrupt.exitCode);
  process.exitCode = await Promise.race([running, late]);
  // A pipe that is still open must not keep the process.
  stdin.destroy();
  interrupt[Symbol.dispose]();
}

async function commandLine(args: readonly string[], terminal: Terminal & Required<Pick<Terminal, 'serve'>>): Promise<number> {
  // The broker by itself starts without what only the other commands need, which takes longer to load than the broker.
  if (args.length === 1 && args[0] === 'serve')
    return terminal.serve().catch((error: unknown) => {
      new Output(terminal, false).failure(error);
      return exitCodeOf(error);
    });
  // Answers of Vault are short-lived: a nursery that grows with a list of 10,000 makes nothing faster, and holds 100 MB more.
  setFlagsFromString('--semi-space-growth-factor=1');
  const { run } = await import('./command/program.ts');
  return run(args, terminal, version);
}

void main();
