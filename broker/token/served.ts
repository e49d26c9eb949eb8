import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Token } from './token.ts';

/** Where a token came from: this process's memory, the replicas' shared store, or its source just now. */
export type ServedFrom = 'memory' | 'store' | 'source';

export interface Served {
  readonly token: Token;
  readonly from: ServedFrom;
  /** What it was issued under. */
  readonly grant: AuthorizedGrant;
}
