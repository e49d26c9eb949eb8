import type { Served } from '#broker/token/cache.ts';
import type { Attempt } from './exchange-event.ts';
import type { TokenEvent } from './token-event.ts';

/** How long a client waited, and for what. */
export interface Ended extends Attempt {
  /** Whether anything but this process's memory was asked. */
  readonly waited: boolean;
}

/** Who counts what becomes of requests. Called once for each, before the answer, and on hits too: it must be quick. */
export interface ExchangeWatch {
  granted(attempt: Ended, served: Served): void;
  refused(attempt: Ended, error: unknown): void;
  /** A token that somebody showed, to be introspected or revoked. @param outcome `refused` with its error */
  presented(event: TokenEvent['event'], outcome: TokenEvent['outcome'], error?: unknown): void;
}
