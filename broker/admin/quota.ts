import { z } from 'zod';
import { quotaView } from '#broker/operator/quota.ts';
import type { QuotaView } from '#broker/operator/quota.ts';
import { MONTH } from '#broker/quota/month.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { pageQuery } from './page.ts';
import { tenantId } from './schema.ts';

const count = (description: string) => z.int().nonnegative().meta({ description });
const tokens = {
  fetched: count('Fetched from Auth0.'),
  one_application_each: count('What it would have been with one Auth0 application for each customer.'),
};
const budget = {
  used: count('Fetched; of the application, what Auth0 has counted where that is more.'),
  budget: z.int().nonnegative().nullable().meta({ description: 'Tokens that there are in the month; null: nobody has said.' }),
  left: z.int().nonnegative().nullable(),
  forecast: z.int().nonnegative().nullable().meta({ description: "At the month's end, if it goes on like this; null in its first day." }),
  level: z.enum(['ok', 'warning', 'spent']).nullable().meta({ description: '`warning`: four fifths are used; null: there is no budget.' }),
};
const apis = z.array(z.strictObject({ api: z.string(), ...tokens }));

export const quota = z.strictObject({
  month: z.string().meta({ description: 'By UTC.', examples: ['2026-11'] }),
  application: z.strictObject({ ...budget, ...tokens }),
  issuer: z
    .array(
      z.strictObject({
        period: z.enum(['per_hour', 'per_day']),
        quota: count('Tokens.'),
        remaining: count('Tokens.'),
        resets_at: count('ms since 1970.'),
        read_at: count('ms since 1970.'),
      }),
    )
    .meta({ description: "What Auth0's own headers said last and still holds." }),
  apis,
  tenants: z.array(z.strictObject({ tenant: z.string(), ...budget, ...tokens, apis })).meta({ description: 'Those with most first.' }),
  tenants_counted: count('How many there are, in this answer or not.'),
});

export const quotaOperations: readonly Operation[] = [
  operation({
    id: 'showQuota',
    method: 'GET',
    path: '/v1/quota',
    tag: 'Quota',
    summary: "Tells what tenants cost of Auth0's quota in a month",
    description: 'Every token that brokers fetched, counted before it was asked for. The caps are as they are now.',
    need: { permission: 'read:tenants', changes: false },
    params: z.strictObject({}),
    query: z.strictObject({
      month: z.string().regex(MONTH, 'is not a month such as 2026-11').optional().meta({ description: 'By UTC; default: this one.' }),
      tenant: tenantId.optional().meta({ description: 'This one alone.' }),
      limit: pageQuery.shape.limit.meta({ description: 'Most tenants in the answer.' }),
    }),
    success: { status: 200, description: 'As Vault has it.', body: { name: 'Quota', schema: quota } },
    refusals: [],
    async handle({ caller, query }) {
      const { month, tenant, limit } = query;
      const view: QuotaView = await quotaView(caller.access, { month, tenant, limit: Number(limit) });
      return { status: 200, headers: {}, body: view };
    },
  }),
];
