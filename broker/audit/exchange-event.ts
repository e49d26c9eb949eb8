import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Trace } from '#broker/token/exchange.ts';
import type { Served } from '#broker/token/cache.ts';
import { PosternError } from '#broker/error.ts';
import * as field from './field.ts';

/** Where audit events go, one JSON object a line. */
export interface AuditLog {
  /** Bytes that wait to be written, and lines that were lost since the start; undefined where nobody knows. */
  readonly backlog?: { readonly bytes: number; readonly lost: number };
  /** @param refusal of a line that tells of one: by what it is counted where there are too many */
  write(line: string, refusal?: Refusal): void;
  /** Whether such a refusal has a line; else it is counted. Absent: each has one. */
  admits?(refusal: Refusal): boolean;
}

/** A refusal, whose line is made only where it is written: a flood of them costs no more than it must. */
export function writeRefusal(audit: AuditLog, line: () => string, refusal: Refusal): void {
  if (audit.admits === undefined) audit.write(line(), refusal);
  else if (audit.admits(refusal)) audit.write(line());
}

export interface Refusal {
  /** Door, or what failed, and code. */
  readonly kind: string;
  /** Of the verified client that was refused; undefined: nobody verified it. */
  readonly tenant?: string | undefined;
}

export function refusalOf(door: string, { identity }: Pick<Trace, 'identity'>, error: unknown): Refusal {
  return { kind: `${door} ${error instanceof PosternError ? error.code : 'internal'}`, tenant: identity?.tenant };
}

const DOORS = ['token', 'exchange', 'jwt-bearer', 'verify'] as const;
export type Door = (typeof DOORS)[number];

export const exchangeEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('token.exchange'),
    outcome: z.enum(['granted', 'refused']),
    door: z.enum(DOORS).meta({
      description:
        'Which endpoint was asked: `/oauth/token`, the same with a subject token (RFC 8693) or an assertion (RFC 7523 §2.1), or `/verify` by a gateway.',
    }),
    address: field.address,
    ms: field.ms,
    client_id: field
      .text('Only of a client that Vault verified: what an unknown one sends here may be a secret in the wrong field.')
      .optional(),
    client_id_sha256: field.sha256('an unverified client_id, so that repeated attempts can be told apart').optional(),
    key_id: field.keyId.optional(),
    trust: field.trust.optional(),
    vault: field.vault.optional(),
    known: z.literal('before').optional().meta({
      description:
        'The refused credential was right once: tenant and key_id are whose it was. It proved nothing now, and its client was not told.',
    }),
    tenant: field.tenant.optional(),
    api: field.api.optional(),
    audience: field.text('Of the API; of a refusal, at most 256 characters of what a verified client named.').optional(),
    scope: field.text('Separated by spaces.', 65_536).optional(),
    organization: field.text('At Auth0.').optional(),
    source: field.text('`memory`: this process; `store`: Vault KV; else the token source.', 32).optional(),
    token_sha256: field.sha256('the token').optional(),
    expires_in: field.expiresIn.optional(),
    error: field.error.optional(),
  })
  .meta({ description: 'One exchange. A token only as its SHA-256, a credential only as its client_id.' });
export type ExchangeEvent = Readonly<z.infer<typeof exchangeEvent>>;

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
  /** Needs no escaping either. */
  readonly requestId: string;
  /** ms, of performance.now() */
  readonly startedAt: number;
}

/** The line of an exchange that ended with a token. */
export function granted(attempt: Attempt, served: Served, expiresIn: number): string {
  return `{"time":"${isoTime()}","event":"token.exchange","outcome":"granted","door":"${attempt.door ?? 'token'}","address":"${attempt.address}","request_id":"${attempt.requestId}","ms":${elapsed(attempt)},"expires_in":${expiresIn},${credentialField(attempt.trace)}${restOf(served)}\n`;
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

/**
 * The members from `client_id` on, with the closing brace. Made anew for each line: kept, it would be half a kilobyte a tenant. Names of tenants
 * and APIs, sources and hexadecimal need no escaping.
 */
function restOf({ grant, token, from }: Served): string {
  const organization = grant.organization === undefined ? '' : `,"organization":${quoted(grant.organization)}`;
  return (
    `"client_id":${quoted(grant.clientId)},"tenant":"${grant.tenant}","api":"${grant.api}","audience":${quoted(grant.audience)},` +
    `"scope":${quoted(token.scope)}${organization},"source":"${from === 'source' ? grant.source : from}","token_sha256":"${token.sha256}"}`
  );
}

/** What JSON writes as it is. */
const PLAIN = /^[\w .~:/?#@!$&'()*+,;=%-]*$/;

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** The line of an exchange that ended with an error. */
export function refused(attempt: Attempt, error: unknown): string {
  const { identity, grant, before } = attempt.trace;
  const past = identity === undefined ? before : undefined;
  const event: ExchangeEvent = {
    time: isoTime(),
    event: 'token.exchange',
    outcome: 'refused',
    door: attempt.door ?? 'token',
    address: attempt.address,
    request_id: attempt.requestId,
    ms: elapsed(attempt),
    known: past === undefined ? undefined : 'before',
    client_id: identity?.clientId,
    client_id_sha256:
      identity === undefined && attempt.clientId !== undefined ? createHash('sha256').update(attempt.clientId).digest('hex') : undefined,
    key_id: (identity ?? past)?.keyId,
    trust: identity?.trust,
    vault: identity?.unasked ? 'away' : undefined,
    tenant: (identity ?? past)?.tenant,
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
