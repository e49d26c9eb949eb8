import type { Apis } from '#broker/plugin/engine/apis.ts';
import type { Counts } from '#broker/plugin/engine/counts.ts';
import type { Configuration } from '#broker/plugin/engine/config.ts';
import type { Credentials } from '#broker/plugin/engine/credentials.ts';
import { operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';

export interface InfoOptions {
  readonly version: string;
  readonly startedAt: number;
  readonly configuration: Configuration;
  readonly apis: Apis;
  readonly credentials: Credentials;
  readonly counts: Counts;
}

export function infoPath({ version, startedAt, configuration, apis, credentials, counts }: InfoOptions): Path {
  return {
    pattern: 'info',
    synopsis: 'What runs here, without anything secret.',
    description:
      'Version and start of this process, whether it is configured, and what it has done since it started: reads of creds by where the ' +
      'token came from, those that were refused or failed, tokens asked of Auth0 (upstream_calls counts each request, upstream_ok, ' +
      'upstream_refused and upstream_unavailable each token), tokens in memory, replaced and pushed out. config_unsaved is true ' +
      'after a rotation that storage did not take yet. config_readable is false where what is stored there is not valid, or storage is ' +
      'away; apis_invalid counts the APIs that are left out since what is stored of them is not valid.',
    parameters: {},
    operations: {
      read: operation({
        summary: 'Version, start, whether it is configured, and counts since the start.',
        handle: async () => {
          const { reads, upstream } = counts;
          const cache = counts.cache(credentials.cache);
          const config = await readable(configuration);
          return {
            data: {
              version,
              started_at: new Date(startedAt).toISOString(),
              configured: config.there,
              config_readable: config.readable,
              config_unsaved: configuration.unsaved,
              apis_invalid: apis.invalid ?? 0,
              reads_from_memory: reads.memory,
              reads_from_storage: reads.store,
              reads_from_auth0: reads.source,
              reads_refused: reads.refused,
              reads_failed: reads.failed,
              upstream_calls: credentials.calls,
              upstream_ok: upstream.ok,
              upstream_refused: upstream.refused,
              upstream_unavailable: upstream.unavailable,
              upstream_seconds: Math.round(upstream.ms) / 1000,
              refreshes_done: cache.done,
              refreshes_failed: cache.failed,
              cached_tokens: credentials.cached,
              cached_tokens_evicted: cache.evicted,
            },
          };
        },
      }),
    },
  };
}

/** Whoever watches is told, and learns all the rest. What can't be read counts as being there. */
export async function readable(configuration: Configuration): Promise<{ readonly there: boolean; readonly readable: boolean }> {
  try {
    return { there: (await configuration.read()) !== undefined, readable: true };
  } catch {
    return { there: true, readable: false };
  }
}
