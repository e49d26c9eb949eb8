import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { newRequestId } from '#broker/request-id.ts';
import type { Publishing, TokenWork } from '#broker/token/work.ts';
import type { Refusal } from './exchange-event.ts';
import * as field from './field.ts';

const whose = {
  tenant: field.tenant,
  client_id: field.text("The tenant's."),
  api: field.api,
  audience: field.text('Of the API.'),
};

export const refreshEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('token.refresh'),
    outcome: z
      .enum(['refreshed', 'failed', 'dropped'])
      .meta({ description: "`dropped`: what was granted changed meanwhile, so that the token is nobody's." }),
    ahead: z.boolean().meta({ description: 'Nobody asked for the token just then; else a client did, and was served the one at hand.' }),
    ms: field.ms,
    ...whose,
    scope: field.text('Separated by spaces.', 65_536).optional(),
    organization: field.text('At Auth0.').optional(),
    source: field.text('`store`: another replica had fetched it; else the token source that was asked.', 32).optional(),
    token_sha256: field.sha256('the new token').optional(),
    expires_in: field.expiresIn.optional(),
    error: field.error.optional(),
  })
  .meta({ description: 'One token fetched in the background before it ended, or not.' });

export const leaseEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('token.lease'),
    outcome: z.literal('taken_over'),
    from: field.text('Which process had it: a UUID of its own.', 128),
    to: field.text('Which process has it now.', 128),
    why: z.enum(['ended', 'unchanged', 'left_over', 'pause_over']).meta({
      description:
        '`ended`: by its own time; `unchanged`: for its whole time by this clock; `left_over`: of this process itself; `pause_over`: the issuer had asked for a pause, which is over.',
    }),
    ...whose,
  })
  .meta({ description: 'The right to ask a source for a token went from one process to another.' });

export const publicationEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('token.publication'),
    outcome: z.enum(['published', 'withdrawn', 'failed']).meta({
      description: '`withdrawn`: it may not lie there any more: disabled, deleted, the grant or the mark taken back.',
    }),
    ms: field.ms,
    tenant: field.tenant,
    client_id: whose.client_id.optional(),
    api: field.api.optional().meta({ description: 'Name of the API; none where the tenant as a whole could not be read.' }),
    audience: whose.audience.optional(),
    scope: field.text('Separated by spaces.', 65_536).optional(),
    organization: field.text('At Auth0.').optional(),
    source: field.text('The token source that was asked.', 32).optional(),
    token_sha256: field.sha256('the token that lies there now, or that lay there').optional(),
    expires_in: field.expiresIn.optional(),
    error: field.error.optional(),
  })
  .meta({ description: 'One token that nobody asked for, put where a Vault Agent reads it, or taken from there.' });

export const leadershipEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('publisher.lease'),
    outcome: z.enum(['taken', 'taken_over', 'given_up']),
    from: field.text('Which process had it: a UUID of its own.', 128).optional(),
    to: field.text('Which process has it now.', 128).optional(),
    why: z.enum(['nobody', 'given_up', 'unchanged', 'left_over', 'stopping', 'fault']).meta({
      description:
        '`nobody`: none had it; `given_up`: by the one before; `unchanged`: for its whole time by this clock; `left_over`: of this process itself; `stopping`: this process stops; `fault`: this machine is at fault, its clock say.',
    }),
  })
  .meta({ description: 'Which process keeps published tokens fresh.' });

/** The line of what was done in the background. @param nowMs ms since 1970 */
export function workLine(work: TokenWork, nowMs = Date.now()): string {
  const always = { time: new Date(nowMs).toISOString(), request_id: newRequestId() };
  if (work.kind === 'publication') return publicationLine(work, always, nowMs);
  if (work.kind === 'leadership') {
    const { outcome, from, to, why } = work;
    const event: z.infer<typeof leadershipEvent> = {
      ...always,
      event: 'publisher.lease',
      outcome,
      from: from?.slice(0, 128),
      to,
      why,
    };
    return `${JSON.stringify(event)}\n`;
  }
  const { grant } = work;
  const whose = { tenant: grant.tenant, client_id: grant.clientId, api: grant.api, audience: grant.audience };
  if (work.kind === 'lease') {
    const event: z.infer<typeof leaseEvent> = {
      ...always,
      event: 'token.lease',
      outcome: 'taken_over',
      from: work.from.slice(0, 128),
      to: work.to,
      why: work.why,
      ...whose,
    };
    return `${JSON.stringify(event)}\n`;
  }
  const { served, error } = work;
  const event: z.infer<typeof refreshEvent> = {
    ...always,
    event: 'token.refresh',
    outcome: work.outcome,
    ahead: work.ahead,
    ms: Math.round(work.ms * 1000) / 1000,
    ...whose,
    scope: served?.token.scope ?? grant.scope,
    organization: grant.organization,
    source: served === undefined ? undefined : served.from === 'source' ? grant.source : served.from,
    token_sha256: served?.token.sha256,
    expires_in: served?.token.remaining(nowMs),
    error: work.outcome === 'failed' ? codeOf(error) : undefined,
  };
  return `${JSON.stringify(event)}\n`;
}

function publicationLine(work: Publishing, always: { time: string; request_id: string }, nowMs: number): string {
  const { tenant, api, grant, outcome, token, error } = work;
  const event: z.infer<typeof publicationEvent> = {
    ...always,
    event: 'token.publication',
    outcome,
    ms: Math.round(work.ms * 1000) / 1000,
    tenant,
    client_id: grant?.clientId,
    api,
    audience: grant?.audience,
    scope: token?.scope ?? grant?.scope,
    organization: grant?.organization,
    source: outcome === 'published' ? grant?.source : undefined,
    token_sha256: token?.sha256 ?? work.sha256,
    expires_in: token?.remaining(nowMs),
    error: outcome === 'failed' ? codeOf(error) : undefined,
  };
  return `${JSON.stringify(event)}\n`;
}

function codeOf(error: unknown): z.infer<typeof field.error> {
  return error instanceof PosternError ? error.code : 'internal';
}

/** Of work that failed: by what it is counted where there is too much of it, as when Vault is away for all tokens at once. */
export function failureOf(work: TokenWork): Refusal | undefined {
  if (work.kind === 'lease' || work.kind === 'leadership' || work.outcome !== 'failed') return undefined;
  return { kind: `token.${work.kind} ${codeOf(work.error)}` };
}
