import type { Writable } from 'node:stream';
import { logVerbosity, setLogger, setLogVerbosity } from '@grpc/grpc-js';
import type { PluginLog } from '#broker/plugin/backend.ts';

export interface Held {
  readonly log: PluginLog;
  /** Pipes to Vault: when it is gone they break. */
  readonly streams: readonly Writable[];
  /** Told the exit code. */
  readonly onEnd: (code: number) => void;
}

/**
 * Keeps this process alive for its mounts: it serves all of them, so what goes wrong in one, outside of any request
 * too, is logged and ends nothing. An interrupt is for Vault, which shares the terminal; Vault ends us.
 * @returns lets go again
 */
export function holdProcess({ log, streams, onEnd }: Held): () => void {
  const uncaught = (error: unknown): void => log.error('an error that nobody has caught', { error });
  const interrupted = (): void => log.trace('interrupt ignored: Vault ends its plugins');
  const terminated = (): void => onEnd(0);
  const broken = (): void => onEnd(0);
  process.on('uncaughtException', uncaught);
  process.on('unhandledRejection', uncaught);
  process.on('SIGINT', interrupted);
  process.on('SIGTERM', terminated);
  for (const stream of streams) stream.on('error', broken);
  // grpc-js would write lines of its own to stderr.
  setLogVerbosity(logVerbosity.NONE);
  setLogger({});
  return () => {
    process.off('uncaughtException', uncaught);
    process.off('unhandledRejection', uncaught);
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', terminated);
    // The streams keep theirs: they may break until the very end.
  };
}
