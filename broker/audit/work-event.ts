import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { newRequestId } from '#broker/request-id.ts';
import type { TokenWork } from '#broker/token/work.ts';
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

/** The line of what was done in the background. @param nowMs ms since 1970 */
export function workLine(work: TokenWork, nowMs = Date.now()): string {
  const { grant } = work;
  const always = { time: new Date(nowMs).toISOString(), request_id: newRequestId() };
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
    error: work.outcome !== 'failed' ? undefined : error instanceof PosternError ? error.code : 'internal',
  };
  return `${JSON.stringify(event)}\n`;
}

/** Of work that failed: by what it is counted where there is too much of it, as when Vault is away for all tokens at once. */
export function failureOf(work: TokenWork): string | undefined {
  if (work.kind === 'lease' || work.outcome !== 'failed') return undefined;
  return `token.refresh ${work.error instanceof PosternError ? work.error.code : 'internal'}`;
}
