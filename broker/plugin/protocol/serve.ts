import type { Writable } from 'node:stream';
import type { BackendFactory } from '#broker/plugin/backend.ts';

export interface ServeOptions {
  readonly factory: BackendFactory;
  /** What Vault hands over: magic cookie, client certificate, temporary folder. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `v1.2.3`: what the process says of itself before it has any backend. */
  readonly version: string;
  /** Receives the handshake line and nothing else. */
  readonly stdout: Writable;
  /** Receives the log: one JSON object a line, as hclog writes them. */
  readonly stderr: Writable;
}

/**
 * Serves backends to the Vault that started this process, until Vault shuts it down or is gone.
 * @returns the exit code: 0 after a shutdown, 1 where nobody but Vault should have started it
 */
export function servePlugin(_options: ServeOptions): Promise<number> {
  return Promise.reject(new Error('the protocol is not there yet'));
}
