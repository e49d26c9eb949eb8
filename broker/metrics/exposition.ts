import { Registry, collectDefaultMetrics } from 'prom-client';
import type { MetricObject, RegistryContentType } from 'prom-client';
import type { Metric } from './metric.ts';

export interface Rendered {
  readonly type: string;
  readonly body: string;
}

/**
 * Writes metrics as text, of the process too: memory, processor time, the event loop's lag, garbage. The library writes and counts these;
 * what is counted on the way of a request is handed over in plain numbers, at each look.
 */
export class Exposition {
  readonly #read: () => readonly Metric[];
  readonly #process = new Registry();
  /** Whoever comes while one is being made gets the same. */
  readonly #flights = new Map<string, Promise<Rendered>>();

  constructor(read: () => readonly Metric[]) {
    this.#read = read;
    collectDefaultMetrics({ register: this.#process });
  }

  /** @param accept the header: OpenMetrics for whoever takes it, Prometheus' own form for the rest */
  render(accept: string | undefined): Promise<Rendered> {
    const type = /\bapplication\/openmetrics-text\b/.test(accept ?? '')
      ? Registry.OPENMETRICS_CONTENT_TYPE
      : Registry.PROMETHEUS_CONTENT_TYPE;
    let flight = this.#flights.get(type);
    if (flight === undefined) {
      flight = this.#renderNow(type).finally(() => this.#flights.delete(type));
      this.#flights.set(type, flight);
    }
    return flight;
  }

  async #renderNow(type: string): Promise<Rendered> {
    const registry = new Registry<RegistryContentType>();
    registry.setContentType(type as RegistryContentType);
    const known: readonly MetricObject[] = await this.#process.getMetricsAsJSON();
    // `_total` is a counter's, and some gauges of the library's have it all the same.
    const ofProcess = known.filter(({ name, type }) => String(type) === 'counter' || !name.endsWith('_total'));
    for (const metric of [...this.#read(), ...ofProcess]) {
      // The registry asks what it was given for its values, and names counters by the form it writes: so each look has objects of its own.
      const one: object = { ...metric, get: () => Promise.resolve(one) };
      registry.registerMetric(one as Parameters<typeof registry.registerMetric>[0]);
    }
    return { type, body: await registry.metrics() };
  }
}
