import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';

/** Bounded in number and length, and never a secret: they leave this process. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** One piece of work under way, as a trace shows it (OpenTelemetry, "Traces"). */
export interface Span {
  /** W3C Trace Context §3.2, for whoever is asked next. */
  readonly traceparent: string;
  /** W3C Trace Context §3.3; undefined where there is none. */
  readonly tracestate: string | undefined;
  /** 32 hexadecimal digits, for an exemplar; undefined where the trace isn't recorded. */
  readonly traceId: string | undefined;
  /** @param kind `client`: somebody else is asked */
  child(name: string, kind: 'internal' | 'client', attributes?: SpanAttributes): Span;
  /** What it is, where that is known later than that it began. */
  name(name: string): void;
  set(attributes: SpanAttributes): void;
  /** @param error undefined: it ended well; a number: the HTTP status that says so */
  end(error?: unknown): void;
}

/** Who begins traces. */
export interface Tracer {
  /**
   * @param believed whether the headers' trace goes on: a stranger's would let anybody decide what is recorded
   * @returns undefined where nothing of this request is recorded or handed on
   */
  request(method: string, headers: IncomingHttpHeaders, believed: boolean): Span | undefined;
  /** Work that nobody's request began. */
  work(name: string, attributes?: SpanAttributes): Span | undefined;
}

const current = new AsyncLocalStorage<Span>();

/** The span that this code runs in; undefined where nobody traces, which costs next to nothing. */
export function currentSpan(): Span | undefined {
  return current.getStore();
}

/** W3C Trace Context, as whoever is asked next is sent it. */
export function headersOf({ traceparent, tracestate }: Span): Record<string, string> {
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

/** Runs `work`, and what it leads to, in a span, which goes on. */
export function within<T>(span: Span, work: () => T): T {
  return current.run(span, work);
}

/** Runs `work` in a span of its own below the current one, which ends when it does. Without a current one it only runs. */
export function traced<T>(name: string, work: () => T, attributes?: SpanAttributes, kind: 'internal' | 'client' = 'internal'): T {
  const parent = current.getStore();
  return parent === undefined ? work() : ending(parent.child(name, kind, attributes), work);
}

/** The same for work that nobody's request began. */
export function tracedWork<T>(tracer: Tracer | undefined, name: string, work: () => T, attributes?: SpanAttributes): T {
  const span = tracer?.work(name, attributes);
  return span === undefined ? work() : ending(span, work);
}

function ending<T>(span: Span, work: () => T): T {
  let result: T;
  try {
    result = within(span, work);
  } catch (error) {
    span.end(error);
    throw error;
  }
  if (!(result instanceof Promise)) {
    span.end();
    return result;
  }
  result.then(
    () => span.end(),
    (error: unknown) => span.end(error),
  );
  return result;
}
