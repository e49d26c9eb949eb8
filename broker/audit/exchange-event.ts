import { createHash } from 'node:crypto';
import type { Trace } from '#broker/token/exchange.ts';
import type { Served } from '#broker/token/cache.ts';
import { PosternError } from '#broker/error.ts';

/** Where audit events go, one JSON object a line. */
export interface AuditLog {
  write(event: ExchangeEvent): void;
}

/** One exchange, granted or refused. A token only as its SHA-256, a credential only as its client_id. */
export interface ExchangeEvent {
  readonly event: 'token.exchange';
  readonly outcome: 'granted' | 'refused';
  /** Only of a client that Vault verified: what an unknown one sends here may be a secret in the wrong field. */
  readonly client_id: string | undefined;
  /** SHA-256 of an unverified client_id, hexadecimal, so that repeated attempts can be told apart. */
  readonly client_id_sha256: string | undefined;
  readonly tenant: string | undefined;
  readonly audience: string | undefined;
  readonly scope: string | undefined;
  readonly organization: string | undefined;
  readonly api: string | undefined;
  /** memory: this process; store: Vault KV; else the token source. */
  readonly source: string | undefined;
  readonly token_sha256: string | undefined;
  readonly expires_in: number | undefined;
  readonly error: string | undefined;
  readonly address: string;
  readonly ms: number;
}

/** Longest piece of a client's own text in an event. */
const MAX_TEXT = 256;

export interface Attempt {
  readonly clientId: string | undefined;
  readonly audience: string | undefined;
  readonly trace: Trace;
  readonly address: string;
  /** ms, of performance.now() */
  readonly startedAt: number;
}

export function granted(attempt: Attempt, served: Served, expiresIn: number): ExchangeEvent {
  const grant = attempt.trace.grant;
  return {
    event: 'token.exchange',
    outcome: 'granted',
    client_id: attempt.clientId,
    client_id_sha256: undefined,
    tenant: grant?.tenant,
    audience: grant?.audience,
    scope: served.token.scope,
    organization: grant?.organization,
    api: grant?.api,
    source: served.from === 'source' ? grant?.source : served.from,
    token_sha256: served.token.sha256,
    expires_in: expiresIn,
    error: undefined,
    address: attempt.address,
    ms: elapsed(attempt),
  };
}

export function refused(attempt: Attempt, error: unknown): ExchangeEvent {
  const { identity, grant } = attempt.trace;
  return {
    event: 'token.exchange',
    outcome: 'refused',
    client_id: identity?.clientId,
    client_id_sha256: identity === undefined && attempt.clientId !== undefined ? createHash('sha256').update(attempt.clientId).digest('hex') : undefined,
    tenant: identity?.tenant,
    audience: identity === undefined ? undefined : (grant?.audience ?? attempt.audience)?.slice(0, MAX_TEXT),
    scope: grant?.scope,
    organization: grant?.organization,
    api: grant?.api,
    source: undefined,
    token_sha256: undefined,
    expires_in: undefined,
    error: error instanceof PosternError ? error.code : 'internal',
    address: attempt.address,
    ms: elapsed(attempt),
  };
}

function elapsed({ startedAt }: Attempt): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
