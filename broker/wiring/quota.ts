import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import { quotaLine } from '#broker/audit/quota-event.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Config } from '#broker/config.ts';
import type { Logger } from '#broker/log.ts';
import { counter, gauge } from '#broker/metrics/metric.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import { QuotaLedger } from '#broker/quota/ledger.ts';
import type { Meter, QuotaOf } from '#broker/quota/meter.ts';
import { summaryOf } from '#broker/quota/report.ts';
import { capOf } from '#broker/quota/terms.ts';
import type { QuotaReading, QuotaTerms } from '#broker/quota/terms.ts';
import { QuotaWatch } from '#broker/quota/watch.ts';
import type { QuotaNotice } from '#broker/quota/watch.ts';
import { VaultQuotaPages } from '#broker/vault/quota-pages.ts';
import type { ConnectedVault } from './vault.ts';

/** The ledger of the tokens that Auth0 counts, with what is said about it. */
export class Quota implements Meter {
  readonly ledger: QuotaLedger;
  readonly #pages: VaultQuotaPages;
  readonly #watch: QuotaWatch;
  readonly #limits: Pick<QuotaTerms, 'budget' | 'tenant'>;
  /** What Auth0 said last of the application, by period. */
  readonly #heard = new Map<QuotaReading['period'], QuotaReading>();
  readonly #onError: (error: unknown) => void;
  #written = '';

  constructor(config: Config, log: Logger, audit: AuditLog, { documents, session, troubles }: ConnectedVault) {
    this.#limits = { budget: config.POSTERN_QUOTA_MONTHLY ?? null, tenant: config.POSTERN_QUOTA_TENANT ?? null };
    this.#pages = new VaultQuotaPages(documents, session);
    this.#onError = (err) => troubles.fails('the ledger of tokens could not be read or written; what is fetched is counted in memory', err);
    this.#watch = new QuotaWatch({
      budget: this.#limits.budget,
      now: Date.now,
      onNotice(notice) {
        log.warn({ ...notice }, SAID[notice.level]);
        audit.write(quotaLine(notice));
      },
    });
    this.ledger = new QuotaLedger({
      store: this.#pages,
      capOf: ({ tenant, quota }) => {
        const cap = capOf(quota, this.#limits);
        this.#watch.cap(tenant, cap);
        return cap;
      },
      exchangedMs: config.POSTERN_USAGE_INTERVAL * 1000,
      onError: this.#onError,
      onLook: () => this.#look(),
      onUnwritten: (tokens) => log.warn({ tokens }, 'not all that was counted for the ledger of tokens could be written before the end'),
    });
  }

  admit(grant: AuthorizedGrant): void {
    this.ledger.admit(grant);
  }

  count(grant: AuthorizedGrant): ReturnType<Meter['count']> {
    return this.ledger.count(grant);
  }

  hear(of: QuotaOf, readings: readonly QuotaReading[], { tenant }: AuthorizedGrant): void {
    for (const reading of readings) {
      const ofTenant = of === 'organization';
      if (!ofTenant) this.#heard.set(reading.period, reading);
      this.#watch.heard(this.ledger.month, ofTenant ? 'organization' : 'issuer', ofTenant ? tenant : undefined, reading);
    }
  }

  metrics(): Metric[] {
    const { ledger } = this;
    const { application, apis, issuer } = summaryOf(ledger.month, ledger.pages(), this.#terms(), Date.now());
    const byApi = (value: (one: (typeof apis)[number]) => number) =>
      apis.slice(0, MAX_APIS).map((one) => ({ labels: { api: one.api }, value: value(one) }));
    const levels = this.#watch.levels;
    return [
      {
        ...gauge('postern_quota_fetched_tokens', 'Tokens fetched from Auth0 this month (UTC), by all replicas.', undefined),
        values: byApi((one) => one.fetched),
      },
      {
        ...gauge(
          'postern_quota_one_application_each_tokens',
          'What these would have been with one Auth0 application for each customer.',
          undefined,
        ),
        values: byApi((one) => one.one_application_each),
      },
      gauge(
        'postern_quota_used_tokens',
        'Used of the application this month: by our count, or by Auth0 where it says more.',
        application.used,
      ),
      gauge(
        'postern_quota_budget_tokens',
        'Tokens of the application in a month (POSTERN_QUOTA_MONTHLY).',
        application.budget ?? undefined,
      ),
      gauge('postern_quota_left_tokens', "Left of the budget, or of Auth0's own quotas where that is less.", application.left ?? undefined),
      gauge('postern_quota_forecast_tokens', "Tokens at the month's end, if it goes on like this.", application.forecast ?? undefined),
      {
        ...gauge('postern_quota_issuer_limit_tokens', "Auth0's own quota of the application, as its headers said last.", undefined),
        values: issuer.map(({ period, quota: value }) => ({ labels: { period }, value })),
      },
      {
        ...gauge('postern_quota_issuer_remaining_tokens', 'What is left of that.', undefined),
        values: issuer.map(({ period, remaining: value }) => ({ labels: { period }, value })),
      },
      {
        ...gauge(
          'postern_quota_capped_tenants',
          'Tenants near (warning) or at (spent) their caps, of those that this replica served.',
          undefined,
        ),
        values: (['warning', 'spent'] as const).map((level) => ({ labels: { level }, value: levels[level] })),
      },
      counter('postern_quota_refused_total', 'Exchanges refused since the tenant had used up its cap.', ledger.refused),
      gauge('postern_quota_unwritten_tokens', 'Tokens counted in this memory alone: lost if it is killed now.', ledger.unwritten),
    ];
  }

  #terms(): QuotaTerms {
    const now = Date.now();
    return { ...this.#limits, issuer: [...this.#heard.values()].filter(({ resets_at }) => resets_at > now) };
  }

  #look(): void {
    const { month } = this.ledger;
    this.#watch.look(month, this.ledger.pages());
    const terms = this.#terms();
    const text = JSON.stringify([month, terms]);
    // A replica that Auth0 told nothing has nothing to say over what another was told.
    if (text === this.#written || (this.#written.startsWith(`["${month}"`) && terms.issuer.length === 0)) return;
    this.#written = text;
    this.#pages.writeTerms(month, terms).catch(this.#onError);
  }
}

const SAID: Readonly<Record<QuotaNotice['level'], string>> = {
  warning: 'four fifths of a quota of tokens are used',
  spent: 'a quota of tokens is used up',
  forecast: 'the quota of tokens will not last to the end of the month, if it goes on like this',
};

/** Beside the others', of which there are more. */
const MAX_APIS = 100;

/** Also counts what clients would have asked of the issuer itself: what came by the token endpoint. @param metered names of sources */
export function withLedger(watch: ExchangeWatch, ledger: QuotaLedger, metered: ReadonlySet<string>): ExchangeWatch {
  return {
    granted(attempt, served) {
      watch.granted(attempt, served);
      if (attempt.door !== 'verify' && metered.has(served.grant.source)) ledger.exchanged(served.grant);
    },
    refused: (attempt, error) => watch.refused(attempt, error),
    presented: (...all) => watch.presented(...all),
  };
}
