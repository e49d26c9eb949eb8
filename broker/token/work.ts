import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Served } from './served.ts';

/** What the token cache did beside answering clients. */
export type TokenWork = Refresh | Handover;

/** A token that was due was fetched anew, or not. */
export interface Refresh {
  readonly kind: 'refresh';
  readonly grant: AuthorizedGrant;
  /** `dropped`: something about the tenant changed meanwhile. */
  readonly outcome: 'refreshed' | 'failed' | 'dropped';
  /** Nobody asked for it just then. */
  readonly ahead: boolean;
  readonly ms: number;
  readonly served?: Served;
  readonly error?: unknown;
}

/** The lease of a key went from one process to another. */
export interface Handover {
  readonly kind: 'lease';
  readonly grant: AuthorizedGrant;
  readonly from: string;
  readonly to: string;
  readonly why: 'ended' | 'unchanged' | 'left_over' | 'pause_over';
}
