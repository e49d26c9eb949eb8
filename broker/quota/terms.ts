import { z } from 'zod';
import type { QuotaPart } from '#broker/authorization/documents.ts';

/** Auth0's own count, as its headers told it last ("Token quotas", Early Access). */
export const quotaReading = z.object({
  period: z.enum(['per_hour', 'per_day']),
  quota: z.number().int().nonnegative(),
  remaining: z.number().int().nonnegative(),
  /** ms since 1970, as is `read_at`. */
  resets_at: z.number().int().nonnegative(),
  read_at: z.number().int().nonnegative(),
});
export type QuotaReading = z.infer<typeof quotaReading>;

/** What brokers go by in a month, written down for whoever reads the ledger. */
export const quotaTerms = z.object({
  /** Tokens of the application in a month; null: nobody has said. */
  budget: z.number().int().positive().nullable().default(null),
  /** Of a tenant that has no cap of its own; null: as many as it likes. */
  tenant: z.number().int().positive().nullable().default(null),
  issuer: z.array(quotaReading).max(8).default([]),
});
export type QuotaTerms = z.infer<typeof quotaTerms>;

/** As documents have it, without what is not set; null: no part of its own. */
export function canonicalQuota(quota: QuotaPart | null | undefined): { monthly: number } | { share: number } | null {
  if (typeof quota?.monthly === 'number') return { monthly: quota.monthly };
  return typeof quota?.share === 'number' ? { share: quota.share } : null;
}

/** @returns tokens a month; Infinity: as many as it likes, which a share is too where the application has no budget */
export function capOf(quota: QuotaPart | null | undefined, { budget, tenant }: Pick<QuotaTerms, 'budget' | 'tenant'>): number {
  if (typeof quota?.monthly === 'number') return quota.monthly;
  if (typeof quota?.share === 'number') return budget === null ? Infinity : partOf(budget, quota.share);
  return tenant ?? Infinity;
}

/** As people reckon: 29 % of 100 is 29, where the product of the two numbers is 28.999999999999996. */
function partOf(budget: number, share: number): number {
  return Math.floor(Number((budget * share).toFixed(6)));
}

/** From this part of a budget on it is told. */
export const WARNING = 0.8;

/** `warning`: four fifths are used; `spent`: all. Null where there is no budget. */
export type Level = 'ok' | 'warning' | 'spent';

export function levelOf(used: number, budget: number | null): Level | null {
  if (budget === null || budget === Infinity) return null;
  return used >= budget ? 'spent' : used >= budget * WARNING ? 'warning' : 'ok';
}
