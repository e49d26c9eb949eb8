import { board, graph, of, rate } from './panel.ts';

/** Who asks for so much, and who gets too little? */
export const tenants = board({
  uid: 'postern-tenants',
  title: 'Postern / Tenants',
  what: 'The tenants that ask most, and those at their limits. Tenants are told only where POSTERN_METRICS_TENANTS says how many.',
  told: 'postern_build_info',
  rows: [
    {
      title: 'Who asks most (POSTERN_METRICS_TENANTS)',
      panels: [
        graph(
          {
            title: 'Exchanges of the ten tenants with most',
            what: 'Granted. One that grows without end is limited by `postern tenant create NAME --update --limit 100/s`.',
            unit: 'reqps',
            queries: [{ expr: `topk(10, sum by (tenant) (${rate('postern_tenant_exchanges_total')}))`, legend: '{{tenant}}' }],
          },
          { columns: 16, stacked: true },
        ),
        graph(
          {
            title: 'Share of the one with most',
            what: 'Of all exchanges granted.',
            unit: 'percentunit',
            queries: [
              {
                expr: `max(sum by (tenant) (${rate('postern_tenant_exchanges_total')})) / sum(${rate('postern_exchanges_total', 'outcome="granted"')})`,
                legend: 'share',
              },
            ],
          },
          { max: 1 },
        ),
      ],
    },
    {
      title: 'Limits',
      panels: [
        graph({
          title: 'Refused for asking too often',
          what: 'limit_exceeded: of a tenant or key; too_many_requests: at a cap of the quota, or too many unseen credentials.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (door, error) (${rate('postern_exchanges_total', 'error=~"limit_exceeded|too_many_requests"')})`,
              legend: '{{door}} {{error}}',
            },
          ],
        }),
        graph({
          title: 'Limited requests, by where they were counted',
          what: 'store: together with other brokers; memory: by this one alone, as while the store is away. With POSTERN_LIMITS_STORE.',
          unit: 'reqps',
          queries: [{ expr: `sum by (where) (${rate('postern_limits_counted_total')})`, legend: '{{where}}' }],
        }),
        graph(
          {
            title: 'Brokers that the store of limits answers',
            what: '0: it counts by itself. With POSTERN_LIMITS_STORE only.',
            unit: 'short',
            queries: [{ expr: of('postern_limits_store_available'), legend: '{{instance}}' }],
          },
          { max: 1 },
        ),
        graph({
          title: 'Tenants near or at their caps of the quota',
          what: 'warning: four fifths are used; spent: 429 on a cold exchange. `postern quota` shows which.',
          unit: 'short',
          queries: [{ expr: `max by (level) (${of('postern_quota_capped_tenants')})`, legend: '{{level}}' }],
        }),
        graph({
          title: 'Exchanges refused at a cap',
          what: 'Of tenants that have used up their share of the quota.',
          unit: 'reqps',
          queries: [{ expr: `sum(${rate('postern_quota_refused_total')})`, legend: 'refused' }],
        }),
        graph({
          title: 'Wrong credentials and requests for what is not granted',
          what: 'By code.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (error) (${rate('postern_exchanges_total', 'error=~"no_client|invalid_.*|access_denied|unauthorized_client|insufficient_scope"')})`,
              legend: '{{error}}',
            },
          ],
        }),
      ],
    },
  ],
});
