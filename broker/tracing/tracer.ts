import type { IncomingHttpHeaders } from 'node:http';
import { DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, diag, isSpanContextValid, trace } from '@opentelemetry/api';
import type { Context, Span as OtelSpan, SpanContext, Tracer as OtelTracer } from '@opentelemetry/api';
import { TraceState, parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Sampler, SpanExporter } from '@opentelemetry/sdk-trace';
import { OwnError } from '#broker/error.ts';
import type { Span, SpanAttributes, Tracer } from '#broker/span.ts';
import type { TraceSettings } from '#broker/trace-settings.ts';

export interface OtlpTracerOptions {
  settings: TraceSettings;
  version: string;
  /** Told what the library complains of, in its words, which hold no span. */
  onTrouble: (message: string) => void;
  /** In place of OTLP over HTTP; for tests. */
  exporter?: SpanExporter;
}

/** Methods that a span's name may hold (HTTP semantic conventions: any other is `HTTP`). */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** Longest text that leaves this process in one attribute. */
const MAX_TEXT = 200;

/** Traces by OpenTelemetry's own SDK, sent as OTLP over HTTP. Only loaded where an endpoint is set. */
export class OtlpTracer implements Tracer {
  readonly #tracer: OtelTracer;
  readonly #provider: TracerProvider;

  constructor({ settings, version, onTrouble, exporter }: OtlpTracerOptions) {
    const tell = (message: string): void => onTrouble(message.slice(0, MAX_TEXT));
    diag.setLogger(
      { error: tell, warn: tell, info() {}, debug() {}, verbose() {} },
      { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
    );
    this.#provider = new TracerProvider({
      sampler: samplerOf(settings),
      spanLimits: { attributeValueLengthLimit: MAX_TEXT },
      // What the environment says goes first: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
      resource: defaultResource()
        .merge(resourceFromAttributes({ 'service.name': 'postern', 'service.version': version }))
        .merge(detectResources({ detectors: [envDetector] })),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: exporter ?? new OTLPTraceExporter(),
          scheduledDelayMillis: settings.delayMs,
          exportTimeoutMillis: settings.timeoutMs,
          maxQueueSize: settings.queue,
          maxExportBatchSize: settings.batch,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('postern', version);
  }

  request(method: string, { traceparent, tracestate }: IncomingHttpHeaders, believed: boolean): Span | undefined {
    const told = typeof traceparent === 'string' ? parseTraceParent(traceparent) : null;
    const context = told !== null && isSpanContextValid(told) ? { ...told, isRemote: true, ...stateOf(tracestate) } : undefined;
    const known = METHODS.has(method);
    const options = {
      kind: SpanKind.SERVER,
      attributes: { 'http.request.method': known ? method : '_OTHER' },
      // A stranger's trace is named beside ours; it decides nothing.
      ...(context !== undefined && !believed ? { links: [{ context }] } : {}),
    };
    const parent = context !== undefined && believed ? trace.setSpanContext(ROOT_CONTEXT, context) : ROOT_CONTEXT;
    const span = this.#tracer.startSpan(known ? method : 'HTTP', options, parent);
    if (span.isRecording()) return new Recorded(this.#tracer, span, parent);
    // Whoever is asked next hears that their caller doesn't record it.
    return parent === ROOT_CONTEXT || context === undefined ? undefined : new Unrecorded(span.spanContext());
  }

  work(name: string, attributes: SpanAttributes = {}): Span | undefined {
    const span = this.#tracer.startSpan(name, { attributes }, ROOT_CONTEXT);
    return span.isRecording() ? new Recorded(this.#tracer, span, ROOT_CONTEXT) : undefined;
  }

  /** Sends what waits, for `ms` at most. */
  async close(ms: number): Promise<void> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, ms);
    await Promise.race([this.#provider.shutdown().catch(() => {}), patience.promise]);
    clearTimeout(timer);
  }
}

/** A span that is sent. */
class Recorded implements Span {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
  readonly traceId: string;
  readonly #tracer: OtelTracer;
  readonly #span: OtelSpan;
  readonly #context: Context;

  constructor(tracer: OtelTracer, span: OtelSpan, parent: Context) {
    this.#tracer = tracer;
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
    const context = span.spanContext();
    this.traceparent = traceparentOf(context);
    this.tracestate = context.traceState?.serialize() || undefined;
    this.traceId = context.traceId;
  }

  child(name: string, kind: 'internal' | 'client', attributes: SpanAttributes = {}): Span {
    const span = this.#tracer.startSpan(name, { kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL, attributes }, this.#context);
    return new Recorded(this.#tracer, span, this.#context);
  }

  name(name: string): void {
    this.#span.updateName(name);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  end(error?: unknown): void {
    if (error !== undefined) {
      // What an error says may quote input: its kind is enough, and the log has the rest under the same request's id.
      this.#span.setAttribute('error.type', kindOf(error));
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

/** A trace that others may record, and this process doesn't. */
class Unrecorded implements Span {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
  readonly traceId = undefined;

  constructor(context: SpanContext) {
    this.traceparent = traceparentOf(context);
    this.tracestate = context.traceState?.serialize() || undefined;
  }

  child(): Span {
    return this;
  }

  name(): void {}

  set(): void {}

  end(): void {}
}

function samplerOf({ sampler, ratio }: TraceSettings): Sampler {
  const bare = sampler.replace('parentbased_', '');
  const root =
    bare === 'always_on' ? new AlwaysOnSampler() : bare === 'always_off' ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return sampler === bare ? root : new ParentBasedSampler({ root });
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & TraceFlags.SAMPLED}`;
}

function stateOf(tracestate: unknown): Pick<SpanContext, 'traceState'> {
  return typeof tracestate === 'string' && tracestate !== '' ? { traceState: new TraceState(tracestate) } : {};
}

function kindOf(error: unknown): string {
  if (typeof error === 'number') return String(error);
  if (error instanceof OwnError) return String(error.describe()['code']);
  return error instanceof Error ? error.name : 'unknown';
}
