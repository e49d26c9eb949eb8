import { board, graph, of, rate, value } from './panel.ts';

/** Vault's own name of a mount's requests, where it is called `auth0/`: it counts each mount under a name of its own. */
const ROUTE = (operation: string): string => `vault_route_${operation}_auth0_`;

/** The secrets engine inside Vault, by its own metrics and by Vault's. */
export const plugin = board({
  uid: 'postern-plugin',
  title: 'Postern / Plugin',
  what: 'The secrets engine inside Vault: its own counts (auth0/metrics), and what Vault says of it (sys/metrics). docs/plugin-paths.md',
  told: 'postern_plugin_info',
  rows: [
    {
      title: 'By the plugin itself',
      panels: [
        value({
          title: 'Reads',
          what: 'Of creds, granted or not.',
          unit: 'reqps',
          queries: [{ expr: `sum(${rate('postern_plugin_reads_total')})` }],
        }),
        value({
          title: 'Served from memory',
          what: 'Of the reads granted.',
          unit: 'percentunit',
          queries: [
            {
              expr: `sum(${rate('postern_plugin_reads_total', 'source="memory"')}) / sum(${rate('postern_plugin_reads_total', 'outcome="granted"')})`,
            },
          ],
        }),
        value(
          {
            title: 'Mounts without configuration',
            what: 'vault write auth0/config …',
            unit: 'short',
            queries: [{ expr: `count(${of('postern_plugin_configured')} == 0) or vector(0)` }],
          },
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
        value(
          {
            title: 'Stored, and not readable',
            what: 'Mounts whose configuration is not valid or not there to read, and APIs that are left out: docs/plugin-paths.md.',
            unit: 'short',
            queries: [
              {
                expr:
                  `(count(${of('postern_plugin_config_readable')} == 0) or vector(0)) + ` +
                  `(sum(${of('postern_plugin_apis_invalid')}) or vector(0))`,
              },
            ],
          },
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
        value(
          {
            title: 'Rotated and not saved',
            what: 'A rotated secret that storage did not take yet lies in memory alone: docs/plugin-paths.md.',
            unit: 'short',
            queries: [{ expr: `max(${of('postern_plugin_config_unsaved')})` }],
          },
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
        value({
          title: 'Tokens in memory',
          what: 'At most 12,000.',
          unit: 'short',
          queries: [{ expr: `max(${of('postern_plugin_cached_tokens')})` }],
        }),
        value({
          title: 'Memory',
          what: 'Resident, of the plugin alone.',
          unit: 'bytes',
          queries: [{ expr: `max(${of('process_resident_memory_bytes')})` }],
        }),
        graph(
          {
            title: 'Reads by where the token came from',
            what: 'memory, storage (after a restart or fail-over) or the issuer, Auth0.',
            unit: 'reqps',
            queries: [{ expr: `sum by (source) (${rate('postern_plugin_reads_total', 'outcome="granted"')})`, legend: '{{source}}' }],
          },
          { stacked: true },
        ),
        graph({
          title: 'Reads refused and failed',
          what: "refused: no role, not granted, an unknown audience. failed: through no fault of the reader's; Vault's log says why.",
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postern_plugin_reads_total', 'outcome!="granted"')})`, legend: '{{outcome}}' }],
        }),
        graph({
          title: 'Tokens asked of Auth0',
          what: 'ok, refused, unavailable (429, 5xx or no answer).',
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postern_plugin_source_requests_total')})`, legend: '{{outcome}}' }],
        }),
        graph({
          title: 'How long Auth0 takes, in the middle',
          what: 'Seconds for one request.',
          unit: 's',
          queries: [
            {
              expr: `sum(${rate('postern_plugin_source_request_seconds_total')}) / sum(${rate('postern_plugin_source_requests_total')})`,
              legend: 'issuer',
            },
          ],
        }),
        graph({
          title: 'Tokens replaced before their end, and pushed out',
          what: 'failed: the one at hand is served until it ends. Pushed out: more tenants than memory has room for.',
          unit: 'reqps',
          queries: [
            { expr: `sum by (outcome) (${rate('postern_plugin_token_refreshes_total')})`, legend: 'replaced: {{outcome}}' },
            { expr: `sum(${rate('postern_plugin_cached_tokens_evicted_total')})`, legend: 'pushed out' },
          ],
        }),
        graph({
          title: 'Processor time, and starts',
          what: 'Cores in use; each start of the process stands out as a step of its age to 0.',
          unit: 'short',
          queries: [
            { expr: rate('process_cpu_seconds_total'), legend: '{{instance}} cores' },
            { expr: `changes(${of('postern_plugin_start_time_seconds')}[$__rate_interval])`, legend: '{{instance}} starts' },
          ],
        }),
      ],
    },
    {
      title: "By Vault's telemetry (sys/metrics), of the mount auth0/",
      panels: [
        graph({
          title: 'Requests that Vault passed on',
          what: 'Reads of any path below the mount, and writes.',
          unit: 'reqps',
          queries: ['read', 'create', 'update', 'delete'].map((operation) => ({
            expr: `sum(rate(${ROUTE(operation)}_count{}[$__rate_interval]))`,
            legend: operation,
          })),
        }),
        graph({
          title: 'How long they took, p99',
          what: 'From Vault to the plugin and back, in milliseconds as Vault tells it, shown in seconds.',
          unit: 's',
          queries: [{ expr: `max(${ROUTE('read')}{quantile="0.99"}) / 1000`, legend: 'read' }],
        }),
        graph(
          {
            title: 'Vault',
            what: '1: unsealed.',
            unit: 'short',
            queries: [{ expr: 'vault_core_unsealed{}', legend: '{{instance}}' }],
          },
          { max: 1 },
        ),
      ],
    },
  ],
});
