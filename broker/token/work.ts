import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Served } from './served.ts';
import type { Token } from './token.ts';

/** What the token cache and the publisher did beside answering clients. */
export type TokenWork = Refresh | Handover | Publishing | Leading;

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

/** A token was put where a Vault Agent reads it, or taken from there, or neither. */
export interface Publishing {
  readonly kind: 'publication';
  readonly tenant: string;
  /** Undefined where it failed before any API was looked at. */
  readonly api: string | undefined;
  /** Undefined where nothing may be published there any more, or it isn't known. */
  readonly grant: AuthorizedGrant | undefined;
  readonly outcome: 'published' | 'withdrawn' | 'failed';
  readonly ms: number;
  /** Of `published`. */
  readonly token?: Token;
  /** SHA-256 of the token that lay there, hexadecimal; of `withdrawn`. */
  readonly sha256?: string;
  readonly error?: unknown;
}

/** Another process publishes from now on. */
export interface Leading {
  readonly kind: 'leadership';
  readonly outcome: 'taken' | 'taken_over' | 'given_up';
  /** Which process had it: a UUID of its own; undefined: none had. */
  readonly from: string | undefined;
  /** Undefined: none has it now. */
  readonly to: string | undefined;
  readonly why: 'nobody' | 'given_up' | 'unchanged' | 'left_over' | 'stopping' | 'fault';
}
