import { createHash } from 'node:crypto';
import type { Inactive, TokenTrace } from '#broker/token/introspection.ts';
import type { Withdrawn } from '#broker/token/withdrawal.ts';
import { PosternError } from '#broker/error.ts';

/** One token that was asked about or taken back. The token only as its SHA-256, a credential only as its client_id. */
export interface TokenEvent {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly event: 'token.introspection' | 'token.revocation';
  /** More than the caller is told: to them, all that is not active is the same, and so is all that can be revoked or not. */
  readonly outcome: 'active' | Inactive | Withdrawn | 'refused';
  readonly address: string;
  readonly ms: number;
  /** Only of a client that was verified: what an unknown one sends here may be a secret in the wrong field. */
  readonly client_id?: string | undefined;
  /** SHA-256 of an unverified client_id, hexadecimal. */
  readonly client_id_sha256?: string | undefined;
  /** Who asked. */
  readonly tenant?: string | undefined;
  /** Whose token it is, where it is one of ours. */
  readonly token_tenant?: string | undefined;
  readonly api?: string | undefined;
  readonly audience?: string | undefined;
  /** Of whatever was presented. */
  readonly token_sha256?: string | undefined;
  /** Code of a refusal. */
  readonly error?: string | undefined;
}

export interface PresentedAttempt {
  readonly event: TokenEvent['event'];
  readonly address: string;
  /** ms, of performance.now() */
  readonly startedAt: number;
  readonly clientId: string | undefined;
  readonly presented: string | undefined;
  readonly trace: TokenTrace;
}

/** @param end what became of it, or the error that it ended with. */
export function tokenEvent(
  attempt: PresentedAttempt,
  end: { outcome: Exclude<TokenEvent['outcome'], 'refused'> } | { error: unknown },
): string {
  const { identity, token, api } = attempt.trace;
  const line: TokenEvent = {
    time: new Date().toISOString(),
    event: attempt.event,
    outcome: 'outcome' in end ? end.outcome : 'refused',
    address: attempt.address,
    ms: Math.round((performance.now() - attempt.startedAt) * 1000) / 1000,
    client_id: identity?.clientId,
    client_id_sha256: identity === undefined ? sha256(attempt.clientId) : undefined,
    tenant: identity?.tenant,
    token_tenant: token?.tenant,
    api,
    audience: token?.audience,
    token_sha256: sha256(attempt.presented),
    error: 'error' in end ? (end.error instanceof PosternError ? end.error.code : 'internal') : undefined,
  };
  return `${JSON.stringify(line)}\n`;
}

function sha256(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : createHash('sha256').update(text).digest('hex');
}
