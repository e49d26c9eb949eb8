import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import type { Logger } from '#broker/log.ts';
import { QuotaLedger } from '#broker/token/quota/ledger.ts';
import type { Config } from '#broker/config.ts';
import { VaultQuotaPages } from '#broker/vault/quota-pages.ts';
import type { ConnectedVault } from './vault.ts';

/** What counts the tokens that Auth0 counts. */
export function quotaLedger(config: Config, _log: Logger, { documents, session, troubles }: ConnectedVault): QuotaLedger {
  return new QuotaLedger({
    store: new VaultQuotaPages(documents, session),
    exchangedMs: config.POSTERN_USAGE_INTERVAL * 1000,
    onError: (err) => troubles.fails('the ledger of tokens could not be read or written; what is fetched is counted in memory', err),
  });
}

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
