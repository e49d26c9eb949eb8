import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import type { Config } from '#broker/config.ts';
import { PosternError } from '#broker/error.ts';
import type { Logger } from '#broker/log.ts';
import { currentSpan } from '#broker/span.ts';
import type { Tracer } from '#broker/span.ts';
import { version } from '#broker/version.ts';

/** Between two lines about a receiver that takes no traces, ms. */
const TELL = 60_000;
/** How long the last spans may take to be sent, ms. */
const LAST = 2_000;

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what waits; 2 s at most. */
  close(): Promise<void>;
}

/** undefined where nobody asked for traces: then none of the library is loaded. */
export async function tracing({ traces }: Config, log: Logger): Promise<Tracing | undefined> {
  if (traces === undefined) return undefined;
  const { OtlpTracer } = await import('#broker/tracing/tracer.ts');
  let told = -Infinity;
  const tracer = new OtlpTracer({
    settings: traces,
    version,
    onTrouble: () => {
      const now = performance.now();
      if (now - told < TELL) return;
      told = now;
      // The library's own words may quote what the receiver answered.
      log.warn({ endpoint: traces.endpoint }, 'traces cannot be sent and are dropped: does an OTLP receiver listen there (http/protobuf)?');
    },
  });
  log.info({ endpoint: traces.endpoint, sampler: traces.sampler, ratio: traces.ratio }, 'traces are sent');
  return { tracer, close: () => tracer.close(LAST) };
}

/** The same watch; the request's span is told too what became of it. */
export function tracedExchanges(watch: ExchangeWatch): ExchangeWatch {
  return {
    granted(attempt, served) {
      const { grant, from } = served;
      currentSpan()?.set({
        'postern.door': attempt.door ?? 'token',
        'postern.outcome': 'granted',
        'postern.tenant': grant.tenant,
        'postern.api': grant.api,
        'postern.token.from': from === 'source' ? grant.source : from,
      });
      watch.granted(attempt, served);
    },
    refused(attempt, error) {
      const { identity, grant } = attempt.trace;
      currentSpan()?.set({
        'postern.door': attempt.door ?? 'token',
        'postern.outcome': 'refused',
        'postern.error': error instanceof PosternError ? error.code : 'internal',
        ...(identity === undefined ? {} : { 'postern.tenant': identity.tenant }),
        ...(grant === undefined ? {} : { 'postern.api': grant.api }),
      });
      watch.refused(attempt, error);
    },
    presented(event, outcome, error) {
      currentSpan()?.set({ 'postern.event': event, 'postern.outcome': outcome });
      watch.presented(event, outcome, error);
    },
  };
}
