import type { Door } from '#broker/audit/exchange-event.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange, Trace } from '#broker/token/exchange.ts';
import type { Parameters } from './body.ts';
import type { Call } from './route.ts';

/** One grant type of the token endpoint. */
export interface TokenGrant {
  readonly type: string;
  readonly door: Door;
  /**
   * From parameters to a token.
   * @returns at once where all is remembered, else a promise.
   * @throws {PosternError}
   */
  run(call: Call, parameters: Parameters, run: GrantRun): Served | Promise<Served>;
  /** What the reply has besides Auth0's members: JSON members that begin with a comma. */
  members(parameters: Parameters): string;
}

/** What is learnt on the way, for the audit. */
export interface GrantRun {
  readonly exchange: Pick<Exchange, 'run'>;
  readonly trace: Trace;
  clientId: string | undefined;
}
