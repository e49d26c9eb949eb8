import { board, graph, of, quantile, rate, value } from './panel.ts';

const SOURCE = 'postern_source_request_duration_seconds';
/** All replicas tell the same of the ledger, up to a minute apart. */
const most = (metric: string): string => `max(${of(metric)})`;

/** What is taken from Auth0 and from the key that signs, and what is left of it. */
export const upstream = board({
  uid: 'postern-upstream',
  title: 'Postern / Upstream and quota',
  what: "Tokens asked of Auth0 or signed in Vault, and the ledger of Auth0's monthly quota (docs/quota.md).",
  told: 'postern_build_info',
  rows: [
    {
      title: 'Quota of the month (UTC)',
      panels: [
        value({
          title: 'Used',
          what: "By our count, or by Auth0's where that says more.",
          unit: 'short',
          queries: [{ expr: most('postern_quota_used_tokens') }],
        }),
        value({
          title: 'Budget',
          what: 'POSTERN_QUOTA_MONTHLY.',
          unit: 'short',
          queries: [{ expr: most('postern_quota_budget_tokens') }],
        }),
        value(
          {
            title: 'Used of the budget',
            what: 'From 80 % on it is told and pages.',
            unit: 'percentunit',
            queries: [{ expr: `${most('postern_quota_used_tokens')} / ${most('postern_quota_budget_tokens')}` }],
          },
          [
            [null, 'green'],
            [0.8, 'orange'],
            [1, 'red'],
          ],
        ),
        value({
          title: 'Left',
          what: "Of the budget, or of Auth0's own quotas where that is less.",
          unit: 'short',
          queries: [{ expr: `min(${of('postern_quota_left_tokens')})` }],
        }),
        value({
          title: "Forecast to the month's end",
          what: 'If it goes on like this. There is none in the first day.',
          unit: 'short',
          queries: [{ expr: most('postern_quota_forecast_tokens') }],
        }),
        value(
          {
            title: 'Counted in memory alone',
            what: 'Lost if that broker is killed now. More than a few: the ledger cannot be written.',
            unit: 'short',
            queries: [{ expr: `sum(${of('postern_quota_unwritten_tokens')})` }],
          },
          [
            [null, 'green'],
            [10, 'red'],
          ],
        ),
        graph({
          title: 'Used, forecast and budget',
          what: 'Tokens of this month.',
          unit: 'short',
          queries: [
            { expr: most('postern_quota_used_tokens'), legend: 'used' },
            { expr: most('postern_quota_forecast_tokens'), legend: 'forecast' },
            { expr: most('postern_quota_budget_tokens'), legend: 'budget' },
          ],
        }),
        graph({
          title: 'Fetched of each API, and with one application each',
          what: 'What was fetched this month, and what it would have been with one Auth0 application for each customer.',
          unit: 'short',
          queries: [
            { expr: `max by (api) (${of('postern_quota_fetched_tokens')})`, legend: '{{api}}' },
            { expr: `max by (api) (${of('postern_quota_one_application_each_tokens')})`, legend: '{{api}}, one application each' },
          ],
        }),
        graph({
          title: "Left of Auth0's own quotas",
          what: 'As its headers said last, and how much there was. Early Access: absent where Auth0 sends none.',
          unit: 'short',
          queries: [
            { expr: `min by (period) (${of('postern_quota_issuer_remaining_tokens')})`, legend: '{{period}} left' },
            { expr: `max by (period) (${of('postern_quota_issuer_limit_tokens')})`, legend: '{{period}} of' },
          ],
        }),
      ],
    },
    {
      title: 'Requests',
      panels: [
        graph(
          {
            title: 'Tokens asked of sources',
            what: 'ok, refused (4xx but 429), unavailable (429, 5xx or no answer).',
            unit: 'reqps',
            queries: [{ expr: `sum by (source, outcome) (${rate(`${SOURCE}_count`)})`, legend: '{{source}} {{outcome}}' }],
          },
          { stacked: true },
        ),
        graph({
          title: 'How long sources take',
          what: 'Half, and 99 of 100.',
          unit: 's',
          queries: [0.5, 0.99].map((q) => ({ expr: quantile(q, SOURCE, { by: 'source' }), legend: `{{source}} p${q * 100}` })),
        }),
        graph({
          title: 'Share that failed',
          what: 'Above 5 % somebody is woken: PosternIssuerFails.',
          unit: 'percentunit',
          queries: [
            {
              expr: `sum by (source) (${rate(`${SOURCE}_count`, 'outcome!="ok"')}) / sum by (source) (${rate(`${SOURCE}_count`)})`,
              legend: '{{source}}',
            },
          ],
        }),
        graph({
          title: 'Tokens replaced before their end',
          what: 'In the background, so that nobody waits. failed: the token at hand is served until it ends.',
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postern_token_refreshes_total')})`, legend: '{{outcome}}' }],
        }),
        graph({
          title: 'Published tokens that fail',
          what: 'By the replica that publishes, the last attempt. PosternPublishingFails: docs/alerts.md.',
          unit: 'short',
          queries: [{ expr: `max by (instance) (${of('postern_publications_failing')}) > 0`, legend: '{{instance}}' }],
        }),
        graph({
          title: 'Versions of the key that signs',
          what: 'Vault transit; all of them stand in the key set.',
          unit: 'short',
          queries: [{ expr: of('postern_signing_key_versions'), legend: '{{instance}}' }],
        }),
      ],
    },
  ],
});
