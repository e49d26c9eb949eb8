import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { Config } from '#broker/config.ts';
import type { HttpServer } from '#broker/http/http-server.ts';
import type { Logger } from '#broker/log.ts';
import { CallTimes } from '#broker/metrics/call-times.ts';
import { ExchangeCounts } from '#broker/metrics/exchange-counts.ts';
import { Exposition } from '#broker/metrics/exposition.ts';
import { counter, gauge } from '#broker/metrics/metric.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import { MetricsServer } from '#broker/metrics/metrics-server.ts';
import type { AnnouncementWatch } from '#broker/credential/announcements.ts';
import type { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
import { version } from '#broker/version.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { Issuance } from './issuance.ts';
import type { Limiting } from './limiting.ts';
import type { Quota } from './quota.ts';
import type { Progress } from './progress.ts';
import type { Shedding } from './shedding.ts';
import { VAULT_PARTS } from '#broker/vault/part.ts';
import type { VaultPart } from '#broker/vault/part.ts';
import type { ConnectedVault } from './vault.ts';

/** What is counted on the way, whether anybody looks or not. */
export class Counts {
  readonly exchanges: ExchangeCounts;
  readonly vault = new CallTimes('postern_vault_request_duration_seconds', 'Requests to Vault, each attempt.', 'operation');
  readonly sources = new CallTimes(
    'postern_source_request_duration_seconds',
    'Tokens asked of Auth0, or signed by Vault transit.',
    'source',
  );

  constructor(config: Config) {
    this.exchanges = new ExchangeCounts(config.POSTERN_METRICS_TENANTS);
  }
}

/** Where the rest is read, at each look. */
export interface Watched {
  readonly vault: ConnectedVault;
  readonly verified: VerifiedCredentials;
  readonly announcements: AnnouncementWatch;
  readonly issued: Issuance;
  readonly limits: Limiting;
  readonly shedding: Shedding;
  readonly clocks: ClockWatch;
  readonly progress: Progress;
  readonly server: HttpServer;
  readonly audit: AuditLog;
  /** Undefined where no source is metered. */
  readonly quota: Quota | undefined;
}

/** undefined where nobody can look. */
export function exposition(config: Config, counts: Counts, watched: () => Watched): Exposition | undefined {
  return config.metrics === undefined && config.admin === undefined ? undefined : new Exposition(() => read(config, counts, watched()));
}

/** The metrics on a listener of their own; undefined where it is off. */
export function metricsDoor(config: Config, log: Logger, exposed: Exposition | undefined): MetricsServer | undefined {
  if (config.metrics === undefined || exposed === undefined) return undefined;
  return new MetricsServer(exposed, (err) => log.error({ err }, 'the metrics could not be told'));
}

function read(
  config: Config,
  counts: Counts,
  { vault, verified, announcements, issued, limits, shedding, clocks, progress, server, audit, quota }: Watched,
): Metric[] {
  const { cache } = issued;
  const { age } = announcements;
  return [
    gauge('postern_build_info', 'Always 1.', 1, { version }),
    gauge('postern_ready', '1 while nothing is lacking, 0 else.', progress.lacks().length === 0 && progress.missing().length === 0 ? 1 : 0),
    ...counts.exchanges.metrics(),
    counts.sources.metric(),
    counts.vault.metric(),
    gauge('postern_vault_available', '0 while Vault does not answer and only the broker itself asks it.', vault.client.away ? 0 : 1),
    {
      ...gauge('postern_vault_part_available', '0 while this part of Vault does not answer in time.', undefined),
      values: (Object.keys(VAULT_PARTS) as VaultPart[]).map((part) => ({ labels: { part }, value: vault.client.isSilent(part) ? 0 : 1 })),
    },
    {
      ...gauge('postern_source_available', '0 while its issuer does not answer and is asked now and then only.', undefined),
      values: issued.sources.flatMap(({ name, available }) =>
        available === undefined ? [] : [{ labels: { source: name }, value: available() ? 1 : 0 }],
      ),
    },
    gauge('postern_vault_token_remaining_seconds', "How long the broker's own Vault token still lives.", vault.session.remaining),
    gauge(
      'postern_secret_id_remaining_seconds',
      'How long the secret_id by which the broker logs in still lives, where it ends.',
      vault.session.credentialLife?.remaining,
    ),
    gauge('postern_secret_id_lifetime_seconds', 'How long it lives in all.', vault.session.credentialLife?.whole),
    gauge(
      'postern_announcements_age_seconds',
      'Since what is announced, ended and revoked was last read.',
      Number.isFinite(age) ? age / 1000 : undefined,
    ),
    ...limits.metrics(),
    ...shedding.metrics(),
    clocks.metric(),
    gauge('postern_cached_tokens', 'Tokens in memory.', cache.size),
    gauge('postern_cached_tokens_limit', 'Most of them (POSTERN_CACHE_TOKENS).', config.POSTERN_CACHE_TOKENS),
    counter('postern_cached_tokens_evicted_total', 'Tokens pushed out of memory for want of room.', cache.evicted),
    counter('postern_token_refreshes_total', 'Tokens replaced before their end.', [
      { labels: { outcome: 'done' }, value: cache.refreshes.done },
      { labels: { outcome: 'failed' }, value: cache.refreshes.failed },
    ]),
    gauge(
      'postern_publications_failing',
      'Places of published tokens that could not be written at the last attempt, by the replica that publishes.',
      issued.publisher?.failing,
    ),
    gauge(
      'postern_signing_key_versions',
      'Versions of the key that signs, all of them published, as last read.',
      issued.sources.find(({ keys }) => keys !== undefined)?.keys?.known,
    ),
    gauge('postern_verified_credentials', 'Verified credentials in memory.', verified.size),
    gauge('postern_audit_held_bytes', 'Audit that waits to be written.', audit.backlog?.bytes),
    ...(audit.backlog === undefined
      ? []
      : [
          counter(
            'postern_audit_lost_lines_total',
            'Audit lines lost since they could not be written and memory was full.',
            audit.backlog.lost,
          ),
        ]),
    ...(quota?.metrics() ?? []),
    gauge('postern_connections', 'Open connections of clients, without those of the admin API and of metrics.', server.connections.open),
    gauge('postern_connections_limit', 'Most of them (POSTERN_MAX_CONNECTIONS).', config.POSTERN_MAX_CONNECTIONS),
    counter('postern_connections_refused_total', 'Connections turned away for want of a place.', server.connections.refused),
  ];
}
