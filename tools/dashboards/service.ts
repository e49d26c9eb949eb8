import { board, graph, of, quantile, rate, value } from './panel.ts';

const FAILED = 'error=~"temporarily_unavailable|misconfigured|internal"';
const DURATION = 'postern_exchange_duration_seconds';
const VAULT = 'postern_vault_request_duration_seconds';
const share = (part: string, whole: string): string => `sum(${part}) / sum(${whole})`;

/** Is the service well, and if not, which part of it? */
export const service = board({
  uid: 'postern-service',
  title: 'Postern / Service',
  what: 'Exchanges, how long they take, and the brokers that answer them. The objectives are those of alerts.yaml.',
  told: 'postern_build_info',
  rows: [
    {
      title: 'Objectives',
      panels: [
        value({
          title: 'Exchanges',
          what: 'Credentials exchanged for tokens, granted or refused, at all doors.',
          unit: 'reqps',
          queries: [{ expr: `sum(${rate('postern_exchanges_total')})` }],
        }),
        value(
          {
            title: 'Answered without a 5xx',
            what: 'Objective: 99.95 % over 30 days. Here it is of the time shown.',
            unit: 'percentunit',
            queries: [
              {
                expr: `1 - (sum(increase(${of('postern_exchanges_total', FAILED)}[$__range])) or vector(0)) / sum(increase(${of('postern_exchanges_total')}[$__range]))`,
              },
            ],
          },
          [
            [null, 'red'],
            [0.9995, 'green'],
          ],
        ),
        value(
          {
            title: 'Hits within 10 ms',
            what: 'Objective: 99 % over 30 days. Here it is of the time shown.',
            unit: 'percentunit',
            queries: [
              {
                expr: `sum(increase(${of(`${DURATION}_bucket`, 'path="hit",le="0.01"')}[$__range])) / sum(increase(${of(`${DURATION}_count`, 'path="hit"')}[$__range]))`,
              },
            ],
          },
          [
            [null, 'red'],
            [0.99, 'green'],
          ],
        ),
        value({
          title: 'Served from memory',
          what: 'Of the exchanges granted, those that asked nobody.',
          unit: 'percentunit',
          queries: [
            { expr: share(rate('postern_exchanges_total', 'source="memory"'), rate('postern_exchanges_total', 'outcome="granted"')) },
          ],
        }),
        value(
          {
            title: 'Brokers that are not ready',
            what: '/readyz of such a broker says what it lacks.',
            unit: 'short',
            queries: [{ expr: `count(${of('postern_ready')}) - sum(${of('postern_ready')})` }],
          },
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
        value(
          {
            title: 'Alerts',
            what: 'That fire now: docs/alerts.md says what to do.',
            unit: 'short',
            queries: [{ expr: 'count(ALERTS{alertstate="firing",alertname=~"Postern.*"}) or vector(0)' }],
          },
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
      ],
    },
    {
      title: 'Exchanges',
      panels: [
        graph(
          {
            title: 'By door and outcome',
            what: 'token: /oauth/token; exchange: with a subject token; jwt-bearer: an assertion; verify: asked by a gateway.',
            unit: 'reqps',
            queries: [{ expr: `sum by (door, outcome) (${rate('postern_exchanges_total')})`, legend: '{{door}} {{outcome}}' }],
          },
          { stacked: true },
        ),
        graph(
          {
            title: 'Refused',
            what: 'By code. temporarily_unavailable, misconfigured and internal are ours (5xx), the others are of whoever asked.',
            unit: 'reqps',
            queries: [{ expr: `sum by (error) (${rate('postern_exchanges_total', 'outcome="refused"')})`, legend: '{{error}}' }],
          },
          { stacked: true },
        ),
        graph(
          {
            title: 'Where tokens come from',
            what: 'memory: this broker; store: another replica had fetched it; else the source was asked.',
            unit: 'reqps',
            queries: [{ expr: `sum by (source) (${rate('postern_exchanges_total', 'outcome="granted"')})`, legend: '{{source}}' }],
          },
          { stacked: true },
        ),
        graph({
          title: 'How long an exchange takes',
          what: 'From the first byte to the answer. A hit asks this memory alone.',
          unit: 's',
          queries: [0.5, 0.99].map((q) => ({ expr: quantile(q, DURATION, { by: 'path' }), legend: `{{path}} p${q * 100}` })),
        }),
        graph(
          {
            title: 'By API',
            what: 'Granted and refused. Refusals before an API was known have none.',
            unit: 'reqps',
            queries: [{ expr: `topk(10, sum by (api) (${rate('postern_exchanges_total', 'api!=""')}))`, legend: '{{api}}' }],
          },
          { stacked: true },
        ),
        graph(
          {
            title: 'Tokens introspected and revoked',
            what: 'By event and outcome.',
            unit: 'reqps',
            queries: [{ expr: `sum by (event, outcome) (${rate('postern_presented_tokens_total')})`, legend: '{{event}} {{outcome}}' }],
          },
          { stacked: true },
        ),
      ],
    },
    {
      title: 'Vault',
      panels: [
        graph({
          title: 'Requests to Vault',
          what: 'Each attempt, by what was asked.',
          unit: 'reqps',
          queries: [{ expr: `sum by (operation, outcome) (${rate(`${VAULT}_count`)})`, legend: '{{operation}} {{outcome}}' }],
        }),
        graph({
          title: 'How long Vault takes, p99',
          what: 'By what was asked.',
          unit: 's',
          queries: [{ expr: quantile(0.99, VAULT, { by: 'operation' }), legend: '{{operation}}' }],
        }),
        graph(
          {
            title: 'Brokers that Vault answers',
            what: '1 while Vault answers, 0 while only the broker itself asks it.',
            unit: 'short',
            queries: [{ expr: of('postern_vault_available'), legend: '{{instance}}' }],
          },
          { max: 1 },
        ),
        graph(
          {
            title: 'Parts of Vault that answer',
            what: '0 where one hangs while the rest answers: docs/outages.md#a-part-of-vault-hangs.',
            unit: 'short',
            queries: [{ expr: `min by (part) (${of('postern_vault_part_available')})`, legend: '{{part}}' }],
          },
          { max: 1 },
        ),
        graph({
          title: 'How long their own Vault tokens live',
          what: 'They are renewed before their end. Where it falls towards 0, docs/alerts.md#posternvaulttokenends says what to do.',
          unit: 's',
          queries: [{ expr: of('postern_vault_token_remaining_seconds'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'How long their secret_ids live',
          what: 'By which they log in to Vault. None: they do not end, or brokers log in otherwise.',
          unit: 's',
          queries: [{ expr: of('postern_secret_id_remaining_seconds'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Since announcements were read',
          what: 'More than a few seconds: revocations are late at that broker.',
          unit: 's',
          queries: [{ expr: of('postern_announcements_age_seconds'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Clocks',
          what: "How far the clocks of Vault and of issuers are from each broker's.",
          unit: 's',
          queries: [{ expr: `abs(${of('postern_clock_difference_seconds')})`, legend: '{{instance}} {{of}}' }],
        }),
      ],
    },
    {
      title: 'Brokers',
      panels: [
        graph({
          title: 'Processor time',
          what: 'Cores in use: one broker uses one.',
          unit: 'short',
          queries: [{ expr: rate('process_cpu_seconds_total'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Lag of the event loop, p99',
          what: 'How long requests wait for their turn.',
          unit: 's',
          queries: [{ expr: of('nodejs_eventloop_lag_p99_seconds'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Memory',
          what: 'Resident.',
          unit: 'bytes',
          queries: [{ expr: of('process_resident_memory_bytes'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Connections',
          what: 'Open ones of clients, over the most there may be.',
          unit: 'percentunit',
          queries: [{ expr: `${of('postern_connections')} / ${of('postern_connections_limit')}`, legend: '{{instance}}' }],
        }),
        graph({
          title: 'Connections turned away',
          what: 'For want of a place.',
          unit: 'cps',
          queries: [{ expr: rate('postern_connections_refused_total'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Tokens and verified credentials in memory',
          what: 'Where tokens reach POSTERN_CACHE_TOKENS they push each other out.',
          unit: 'short',
          queries: [
            { expr: of('postern_cached_tokens'), legend: '{{instance}} tokens' },
            { expr: of('postern_verified_credentials'), legend: '{{instance}} credentials' },
            { expr: `max(${of('postern_cached_tokens_limit')})`, legend: 'most tokens' },
          ],
        }),
        graph({
          title: 'Tokens pushed out',
          what: 'Each is fetched again when it is asked for: raise POSTERN_CACHE_TOKENS.',
          unit: 'cps',
          queries: [{ expr: rate('postern_cached_tokens_evicted_total'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Audit that waits',
          what: 'It grows where it cannot be written: the disk is full, or the syslog receiver is away.',
          unit: 'bytes',
          queries: [{ expr: of('postern_audit_held_bytes'), legend: '{{instance}}' }],
        }),
        graph({
          title: 'Audit lines lost',
          what: 'Since more than 64 MiB were held back.',
          unit: 'cps',
          queries: [{ expr: rate('postern_audit_lost_lines_total'), legend: '{{instance}}' }],
        }),
      ],
    },
  ],
});
