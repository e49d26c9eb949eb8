import { z } from 'zod';
import { newRequestId } from '#broker/request-id.ts';
import type { QuotaNotice } from '#broker/quota/watch.ts';
import * as field from './field.ts';

export const quotaEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('quota'),
    outcome: z.enum(['warning', 'spent', 'forecast']).meta({
      description: "`warning`: four fifths are used; `spent`: all; `forecast`: more than all at the month's end.",
    }),
    of: z.enum(['application', 'tenant', 'issuer', 'organization']).meta({
      description:
        "Whose: the application's budget (POSTERN_QUOTA_MONTHLY), a tenant's cap, or what the issuer's headers say of the application or " +
        "of a tenant's organization.",
    }),
    month: field.text('By UTC: `2026-11`.', 7),
    tenant: field.tenant.optional(),
    period: z.enum(['per_hour', 'per_day']).optional().meta({ description: "Of Auth0's quota." }),
    used: z.int().nonnegative().meta({ description: 'Tokens.' }),
    budget: z.int().nonnegative().meta({ description: 'Tokens that there are.' }),
    forecast: z.int().nonnegative().optional().meta({ description: "Tokens at the month's end, if it goes on like this." }),
  })
  .meta({ description: 'A quota is nearly or wholly used: told once, by each replica.' });

/** @param nowMs ms since 1970 */
export function quotaLine(notice: QuotaNotice, nowMs = Date.now()): string {
  const { of, month, tenant, period, level, used, budget, forecast } = notice;
  const event: z.infer<typeof quotaEvent> = {
    time: new Date(nowMs).toISOString(),
    request_id: newRequestId(),
    event: 'quota',
    outcome: level,
    of,
    month,
    tenant,
    period,
    used,
    budget,
    forecast,
  };
  return `${JSON.stringify(event)}\n`;
}
