import type { Registry } from 'prom-client';
import { operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { readable } from './info.ts';
import type { InfoOptions } from './info.ts';

interface Told {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly values: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
}

/** The counts of `info` as Prometheus reads them: Vault passes the text on as it is, to whoever may read this path. */
export function metricsPath(options: InfoOptions): Path {
  return {
    pattern: 'metrics',
    synopsis: 'What runs here, for Prometheus.',
    description:
      "The counts of info in Prometheus' text form: metrics_path: /v1/<mount>/metrics, with a Vault token that may read this path as " +
      'bearer token. They are those of the process on the active node, and begin anew with it.',
    parameters: {},
    operations: {
      read: operation({
        summary: "Text, in place of Vault's JSON.",
        handle: async () => {
          const { text, type } = await write(await read(options));
          return {
            data: { http_content_type: type, http_status_code: 200, http_raw_body: Buffer.from(text).toString('base64') },
          };
        },
      }),
    },
  };
}

async function read({ version, startedAt, configuration, apis, credentials, counts }: InfoOptions): Promise<Told[]> {
  const { reads, upstream } = counts;
  const cache = counts.cache(credentials.cache);
  const { user, system } = process.cpuUsage();
  const config = await readable(configuration);
  const one = (name: string, help: string, type: Told['type'], value: number): Told => ({ name, help, type, values: [[{}, value]] });
  return [
    { name: 'postern_plugin_info', help: 'Always 1.', type: 'gauge', values: [[{ version }, 1]] },
    one('postern_plugin_start_time_seconds', 'When this process began, since 1970.', 'gauge', startedAt / 1000),
    one('postern_plugin_configured', '1 where it has a configuration.', 'gauge', config.there ? 1 : 0),
    one('postern_plugin_config_readable', '0 where it is not valid, or storage is away.', 'gauge', config.readable ? 1 : 0),
    one('postern_plugin_config_unsaved', '1 after a rotation that storage did not take yet.', 'gauge', configuration.unsaved ? 1 : 0),
    one('postern_plugin_apis_invalid', 'APIs that are left out, not being valid.', 'gauge', apis.invalid ?? 0),
    {
      name: 'postern_plugin_reads_total',
      help: 'Reads of creds, by outcome and where the token came from.',
      type: 'counter',
      values: [
        [{ outcome: 'granted', source: 'memory' }, reads.memory],
        [{ outcome: 'granted', source: 'storage' }, reads.store],
        [{ outcome: 'granted', source: 'issuer' }, reads.source],
        [{ outcome: 'refused', source: '' }, reads.refused],
        [{ outcome: 'failed', source: '' }, reads.failed],
      ],
    },
    {
      name: 'postern_plugin_source_requests_total',
      help: 'Tokens asked of Auth0.',
      type: 'counter',
      values: (['ok', 'refused', 'unavailable'] as const).map((outcome) => [{ outcome }, upstream[outcome]] as const),
    },
    one('postern_plugin_source_request_seconds_total', 'How long these took in all.', 'counter', upstream.ms / 1000),
    {
      name: 'postern_plugin_token_refreshes_total',
      help: 'Tokens replaced before their end.',
      type: 'counter',
      values: [
        [{ outcome: 'done' }, cache.done],
        [{ outcome: 'failed' }, cache.failed],
      ],
    },
    one('postern_plugin_cached_tokens', 'Tokens in memory.', 'gauge', credentials.cached),
    one('postern_plugin_cached_tokens_evicted_total', 'Tokens pushed out of memory for want of room.', 'counter', cache.evicted),
    one('process_cpu_seconds_total', 'Processor time of this process.', 'counter', (user + system) / 1e6),
    one('process_resident_memory_bytes', 'Resident memory of this process.', 'gauge', process.memoryUsage.rss()),
  ];
}

/** The library is loaded when somebody looks: it takes memory. */
async function write(told: readonly Told[]): Promise<{ text: string; type: string }> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const registry: Registry = new Registry();
  for (const { name, help, type, values } of told) {
    const labelNames = Object.keys(values[0]?.[0] ?? {});
    const metric =
      type === 'counter'
        ? new Counter({ name, help, labelNames, registers: [registry] })
        : new Gauge({ name, help, labelNames, registers: [registry] });
    for (const [labels, value] of values) metric.inc(labels, value);
  }
  return { text: await registry.metrics(), type: registry.contentType };
}
