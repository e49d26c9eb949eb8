import type { Config } from '#broker/config.ts';
import { counter, gauge } from '#broker/metrics/metric.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import type { Limiter } from '#broker/rate-limit/admission.ts';
import { LocalLimiter } from '#broker/rate-limit/local-limiter.ts';
import type { Troubles } from './troubles.ts';

/** Who counts the requests of tenants and keys that are limited. */
export interface Limiting {
  readonly limiter: Limiter;
  metrics(): Metric[];
  stop(): void;
}

const AWAY = 'limits are counted by this replica alone: their store (POSTERN_LIMITS_STORE) does not answer';

/** In this process's memory; in Valkey or Redis where POSTERN_LIMITS_STORE says so, whose client is loaded only then. */
export async function limiting(config: Config, troubles: Pick<Troubles, 'fails' | 'works'>): Promise<Limiting> {
  const local = new LocalLimiter();
  const { limitsStore: store } = config;
  if (store === undefined) return { limiter: local, metrics: () => [], stop: () => {} };
  const [{ SharedLimiter }, { connectStore }] = await Promise.all([
    import('#broker/rate-limit/shared-limiter.ts'),
    import('#broker/rate-limit/store.ts'),
  ]);
  const onError = (err: Error): void => troubles.fails(AWAY, err);
  const client = connectStore(store, onError);
  const limiter = new SharedLimiter({
    client,
    local,
    onError,
    onRecovered: () => troubles.works(AWAY),
  });
  return {
    limiter,
    metrics: () => [
      gauge('postern_limits_store_available', '0 while limits are counted by this replica alone.', limiter.available ? 1 : 0),
      counter('postern_limits_counted_total', 'Requests of limited tenants and keys, by where they were counted.', [
        { labels: { where: 'store' }, value: limiter.counted.store },
        { labels: { where: 'memory' }, value: limiter.counted.memory },
      ]),
    ],
    stop: () => {
      limiter.stop();
      client.disconnect();
    },
  };
}
