import type { Configuration } from '#broker/plugin/engine/config.ts';
import type { Credentials } from '#broker/plugin/engine/credentials.ts';
import { operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';

export interface InfoOptions {
  readonly version: string;
  readonly startedAt: number;
  readonly configuration: Configuration;
  readonly credentials: Credentials;
}

export function infoPath({ version, startedAt, configuration, credentials }: InfoOptions): Path {
  return {
    pattern: 'info',
    synopsis: 'What runs here, without anything secret.',
    description:
      'Version and start of this process, whether it is configured, how many tokens it holds in memory, and how often it has asked ' +
      'Auth0 for one since it started. config_unsaved is true after a rotation that storage did not take yet.',
    parameters: {},
    operations: {
      read: operation({
        summary: 'Version, start, configured, cached_tokens, upstream_calls, config_unsaved.',
        handle: async () => ({
          data: {
            version,
            started_at: new Date(startedAt).toISOString(),
            configured: (await configuration.read()) !== undefined,
            cached_tokens: credentials.cached,
            upstream_calls: credentials.calls,
            config_unsaved: configuration.unsaved,
          },
        }),
      }),
    },
  };
}
