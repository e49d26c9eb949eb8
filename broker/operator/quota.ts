import { tenantDocument } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { MONTH, monthOf } from '#broker/quota/month.ts';
import { budgetOf, reportOf } from '#broker/quota/report.ts';
import type { Budget, QuotaReport, TenantTokens } from '#broker/quota/report.ts';
import { capOf } from '#broker/quota/terms.ts';
import { VaultQuotaPages } from '#broker/vault/quota-pages.ts';
import type { VaultAccess } from './access.ts';
import { checkTenantId } from './name.ts';
import { inParallel } from './parallel.ts';
import { WIDTH } from './secret/secret-id.ts';

/** A tenant's tokens, and how much of its cap they are. */
export type TenantQuotaView = TenantTokens & Budget;

export interface QuotaView extends Omit<QuotaReport, 'tenants'> {
  readonly tenants: readonly TenantQuotaView[];
  /** How many there are, shown or not. */
  readonly tenants_counted: number;
}

export interface QuotaQuestion {
  /** `2026-11`. Default: this one. */
  readonly month?: string | undefined;
  /** One alone. */
  readonly tenant?: string | undefined;
  /** Of those with most, so many. Default: all. */
  readonly limit?: number | undefined;
  /** ms since 1970. Default: now. */
  readonly now?: number | undefined;
}

/** What the ledger says of a month. @throws {PosternError} invalid_request; as Vault refuses */
export async function quotaView(access: VaultAccess, question: QuotaQuestion = {}): Promise<QuotaView> {
  const { now = Date.now(), tenant, limit } = question;
  const month = question.month ?? monthOf(now);
  if (!MONTH.test(month)) throw new PosternError('invalid_request', `"${month.slice(0, 20)}" is not a month such as ${monthOf(now)}`);
  if (tenant !== undefined) checkTenantId(tenant);
  const read = <T>(work: (pages: VaultQuotaPages) => Promise<T>): Promise<T> =>
    access.call('read the ledger of tokens', ({ documents, as }) =>
      work(new VaultQuotaPages(documents, { use: (call) => call(as.token) })),
    );
  const [names, terms] = await Promise.all([read((of) => of.pages(month)), read((of) => of.readTerms(month))]);
  const pages = await inParallel(names, WIDTH, (name) => read((of) => of.read(month, name)));
  const report = reportOf(
    month,
    pages.map(({ page }) => page),
    terms,
    now,
  );
  const none: TenantTokens = { tenant: tenant ?? '', apis: [], fetched: 0, one_application_each: 0 };
  const shown = tenant === undefined ? report.tenants.slice(0, limit) : [report.tenants.find((one) => one.tenant === tenant) ?? none];
  const tenants = await inParallel(shown, WIDTH, async (one) => ({
    ...one,
    ...budgetOf(month, one.fetched, await capNow(access, one.tenant, terms), now),
  }));
  return { ...report, tenants, tenants_counted: report.tenants.length };
}

/** As its document has it now; one that is gone or can't be read has none. */
async function capNow(access: VaultAccess, tenant: string, terms: Parameters<typeof capOf>[1]): Promise<number> {
  if (!NAME.test(tenant)) return Infinity;
  const { data } = await access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as));
  return capOf(tenantDocument.safeParse(data).data?.quota, terms);
}
