import { httpsOrLoopback } from './loopback.ts';

/** OpenTelemetry SDK configuration, "General SDK configuration": OTEL_TRACES_SAMPLER. */
export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

/** How this process traces. Where the spans go is read by the exporter itself, from the same variables. */
export interface TraceSettings {
  readonly sampler: (typeof SAMPLERS)[number];
  /** Of traces that begin here, for the ratio's samplers: 0 to 1. */
  readonly ratio: number;
  /** Between two exports, and the longest for one, ms. */
  readonly delayMs: number;
  readonly timeoutMs: number;
  /** Spans that wait at most; those beyond are dropped. */
  readonly queue: number;
  readonly batch: number;
  /** For the log and `serve --check`: the receiver's address, which may not hold a secret. */
  readonly endpoint: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The standard variables (OpenTelemetry SDK configuration; OTLP exporter configuration). Nothing else of OTEL_* is looked at, and without
 * an endpoint none of it counts: other programs' variables must not stop a broker.
 * @param faults gets a sentence that names the variable and no value
 * @returns undefined where nobody asked for traces, or a fault was added
 */
export function readTraceSettings(env: Variables, faults: string[]): TraceSettings | undefined {
  try {
    return settingsOf(env);
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    faults.push(error.message);
    return undefined;
  }
}

class Wrong extends Error {}

/** @throws {Wrong} */
function settingsOf(env: Variables): TraceSettings | undefined {
  const of = (name: string): string | undefined => env[name]?.trim() || undefined;
  const own = of('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const endpoint = own ?? of('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint === undefined || /^true$/i.test(of('OTEL_SDK_DISABLED') ?? '')) return undefined;
  const exporter = of('OTEL_TRACES_EXPORTER') ?? 'otlp';
  if (exporter === 'none') return undefined;
  if (exporter !== 'otlp') throw wrong('OTEL_TRACES_EXPORTER', 'must be otlp or none');
  const protocolName = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'].find((name) => of(name) !== undefined);
  if (protocolName !== undefined && of(protocolName) !== 'http/protobuf')
    throw wrong(protocolName, 'must be http/protobuf, which every OTLP receiver takes (port 4318 by custom)');
  const name = own === undefined ? 'OTEL_EXPORTER_OTLP_ENDPOINT' : 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol)) throw wrong(name, 'must be an http or https URL, such as http://127.0.0.1:4318');
  if (url.username !== '' || url.password !== '' || url.search !== '')
    throw wrong(name, 'must have no user name and no query: a credential belongs in OTEL_EXPORTER_OTLP_HEADERS');
  if (!httpsOrLoopback(url) && (of('OTEL_EXPORTER_OTLP_HEADERS') ?? of('OTEL_EXPORTER_OTLP_TRACES_HEADERS')) !== undefined)
    throw wrong(name, 'must be https where OTEL_EXPORTER_OTLP_HEADERS holds a credential');
  const sampler = of('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on';
  if (!isSampler(sampler)) throw wrong('OTEL_TRACES_SAMPLER', `must be one of ${SAMPLERS.join(', ')}`);
  const count = (variable: string, fallback: number, min: number, max: number): number => {
    const text = of(variable);
    const value = text === undefined ? fallback : Number(text);
    if (!Number.isFinite(value) || value < min || value > max) throw wrong(variable, `must be a number from ${min} to ${max}`);
    return value;
  };
  const queue = count('OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1, 1_000_000);
  return {
    sampler,
    ratio: count('OTEL_TRACES_SAMPLER_ARG', 1, 0, 1),
    delayMs: count('OTEL_BSP_SCHEDULE_DELAY', 5_000, 1, 600_000),
    timeoutMs: count('OTEL_BSP_EXPORT_TIMEOUT', 30_000, 1, 600_000),
    queue,
    batch: Math.min(queue, count('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 1, 1_000_000)),
    endpoint: own === undefined ? `${endpoint.replace(/\/+$/, '')}/v1/traces` : endpoint,
  };
}

function isSampler(text: string): text is TraceSettings['sampler'] {
  return (SAMPLERS as readonly string[]).includes(text);
}

function wrong(variable: string, what: string): Wrong {
  return new Wrong(`${variable} ${what}`);
}
