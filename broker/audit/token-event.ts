import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Inactive, TokenTrace } from '#broker/token/introspection.ts';
import type { Withdrawn } from '#broker/token/withdrawal.ts';
import { PosternError } from '#broker/error.ts';
import * as field from './field.ts';

/** More than the caller is told: to them, all that is not active is the same, and so is all that can be revoked or not. */
const ENDS = ['active', 'unknown', 'foreign', 'revoked', 'disabled', 'again'] as const satisfies readonly (
  | 'active'
  | Inactive
  | Withdrawn
)[];

export const tokenEventSchema = z
  .strictObject({
    ...field.always,
    event: z.enum(['token.introspection', 'token.revocation']),
    outcome: z.enum([...ENDS, 'refused']),
    address: field.address,
    ms: field.ms,
    client_id: field
      .text('Only of a client that was verified: what an unknown one sends here may be a secret in the wrong field.')
      .optional(),
    client_id_sha256: field.sha256('an unverified client_id').optional(),
    tenant: field.tenant.optional().meta({ description: 'Who asked.' }),
    token_tenant: field.tenant.optional().meta({ description: 'Whose token it is, where it is one of ours.' }),
    api: field.api.optional(),
    audience: field.text('Of the token.').optional(),
    token_sha256: field.sha256('whatever was presented').optional(),
    vault: field.vault.optional(),
    error: field.error.optional(),
  })
  .meta({
    description: 'One token that was asked about or taken back. The token only as its SHA-256, a credential only as its client_id.',
  });
export type TokenEvent = Readonly<z.infer<typeof tokenEventSchema>>;

export interface PresentedAttempt {
  readonly event: TokenEvent['event'];
  readonly address: string;
  readonly requestId: string;
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
    request_id: attempt.requestId,
    ms: Math.round((performance.now() - attempt.startedAt) * 1000) / 1000,
    client_id: identity?.clientId,
    client_id_sha256: identity === undefined ? sha256(attempt.clientId) : undefined,
    tenant: identity?.tenant,
    token_tenant: token?.tenant,
    api,
    audience: token?.audience,
    token_sha256: sha256(attempt.presented),
    vault: identity?.unasked ? 'away' : undefined,
    error: 'error' in end ? (end.error instanceof PosternError ? end.error.code : 'internal') : undefined,
  };
  return `${JSON.stringify(line)}\n`;
}

function sha256(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : createHash('sha256').update(text).digest('hex');
}
