import { createHash } from 'node:crypto';
import type { Trace } from '#broker/token/exchange.ts';
import type { Served } from '#broker/token/cache.ts';
import { PosternError } from '#broker/error.ts';

/** Where audit events go, one JSON object a line. */
export interface AuditLog {
  /** Bytes that wait to be written, and lines that were lost since the start; undefined where nobody knows. */
  readonly backlog?: { readonly bytes: number; readonly lost: number };
  /** @param stranger of a refusal whose client nobody has verified: door and code, by which it is counted where there are too many */
  write(line: string, stranger?: string): void;
}

/** @returns what {@link AuditLog} takes as `stranger` */
export function strangerOf(door: string, { identity }: { readonly identity?: unknown }, error: unknown): string | undefined {
  return identity === undefined ? `${door} ${error instanceof PosternError ? error.code : 'internal'}` : undefined;
}

export type Door = 'token' | 'exchange' | 'jwt-bearer' | 'verify';

/** One exchange, granted or refused. A token only as its SHA-256, a credential only as its client_id. */
export interface ExchangeEvent {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly event: 'token.exchange';
  readonly outcome: 'granted' | 'refused';
  /** Which endpoint was asked: `/oauth/token`, the same with a subject token (RFC 8693) or an assertion (RFC 7523 §2.1), or `/verify` by a gateway. */
  readonly door: Door;
  readonly address: string;
  readonly ms: number;
  /** Only of a client that Vault verified: what an unknown one sends here may be a secret in the wrong field. */
  readonly client_id?: string | undefined;
  /** SHA-256 of an unverified client_id, hexadecimal, so that repeated attempts can be told apart. */
  readonly client_id_sha256?: string | undefined;
  /** Names the API key, where it was one. */
  readonly key_id?: string | undefined;
  /** Names the trust, where a workload showed a token of its own issuer. */
  readonly trust?: string | undefined;
  /** Vault could not be asked, so that the client is known by what Vault said before. */
  readonly vault?: 'away' | undefined;
  readonly tenant?: string | undefined;
  readonly api?: string | undefined;
  readonly audience?: string | undefined;
  readonly scope?: string | undefined;
  readonly organization?: string | undefined;
  /** memory: this process; store: Vault KV; else the token source. */
  readonly source?: string | undefined;
  readonly token_sha256?: string | undefined;
  /** Seconds. */
  readonly expires_in?: number | undefined;
  /** Code of a refusal. */
  readonly error?: string | undefined;
}

/** Longest piece of a client's own text in an event. */
const MAX_TEXT = 256;

export interface Attempt {
  /** Default `token`. */
  readonly door?: Door;
  readonly clientId: string | undefined;
  readonly audience: string | undefined;
  readonly trace: Trace;
  /** An IP address, which needs no escaping. */
  readonly address: string;
  /** ms, of performance.now() */
  readonly startedAt: number;
}

/** What does not change from one hit to the next, written once. */
const unchanging = new WeakMap<Served, string>();

/** The line of an exchange that ended with a token. */
export function granted(attempt: Attempt, served: Served, expiresIn: number): string {
  let rest = unchanging.get(served);
  if (rest === undefined) {
    rest = restOf(served);
    unchanging.set(served, rest);
  }
  return `{"time":"${isoTime()}","event":"token.exchange","outcome":"granted","door":"${attempt.door ?? 'token'}","address":"${attempt.address}","ms":${elapsed(attempt)},"expires_in":${expiresIn},${credentialField(attempt.trace)}${rest}\n`;
}

/** Two keys may share one token, so this is not part of what never changes. A key id and a trust's name need no escaping. */
function credentialField({ identity }: Trace): string {
  if (identity === undefined) return '';
  const away = identity.unasked ? '"vault":"away",' : '';
  if (identity.trust !== undefined) return `"trust":"${identity.trust}",${away}`;
  return identity.keyId === undefined ? away : `"key_id":"${identity.keyId}",${away}`;
}

let isoMs = 0;
let iso = '';

/** Many lines share a millisecond. */
function isoTime(): string {
  const now = Date.now();
  if (now !== isoMs) {
    isoMs = now;
    iso = new Date(now).toISOString();
  }
  return iso;
}

/** The members from `client_id` on, with the closing brace. */
function restOf({ grant, token, from }: Served): string {
  const rest: Partial<ExchangeEvent> = {
    client_id: grant.clientId,
    tenant: grant.tenant,
    api: grant.api,
    audience: grant.audience,
    scope: token.scope,
    organization: grant.organization,
    source: from === 'source' ? grant.source : from,
    token_sha256: token.sha256,
  };
  return JSON.stringify(rest).slice(1);
}

/** The line of an exchange that ended with an error. */
export function refused(attempt: Attempt, error: unknown): string {
  const { identity, grant } = attempt.trace;
  const event: ExchangeEvent = {
    time: isoTime(),
    event: 'token.exchange',
    outcome: 'refused',
    door: attempt.door ?? 'token',
    address: attempt.address,
    ms: elapsed(attempt),
    client_id: identity?.clientId,
    client_id_sha256:
      identity === undefined && attempt.clientId !== undefined ? createHash('sha256').update(attempt.clientId).digest('hex') : undefined,
    key_id: identity?.keyId,
    trust: identity?.trust,
    vault: identity?.unasked ? 'away' : undefined,
    tenant: identity?.tenant,
    api: grant?.api,
    audience: identity === undefined ? undefined : (grant?.audience ?? attempt.audience)?.slice(0, MAX_TEXT),
    scope: grant?.scope,
    organization: grant?.organization,
    error: error instanceof PosternError ? error.code : 'internal',
  };
  return `${JSON.stringify(event)}\n`;
}

function elapsed({ startedAt }: Attempt): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
