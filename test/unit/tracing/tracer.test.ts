import { InMemorySpanExporter } from '@opentelemetry/sdk-trace';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { currentSpan, headersOf, traced, tracedWork, within } from '#broker/span.ts';
import { readTraceSettings } from '#broker/trace-settings.ts';
import { OtlpTracer } from '#broker/tracing/tracer.ts';
import { VaultFault } from '#broker/vault-fault.ts';

const THEIRS = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const SAMPLED = `00-${THEIRS}-${PARENT}-01`;
const UNSAMPLED = `00-${THEIRS}-${PARENT}-00`;

function stage(env: Record<string, string> = {}) {
  const exporter = new InMemorySpanExporter();
  const settings = readTraceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', ...env }, [])!;
  const tracer = new OtlpTracer({ settings, version: '1.2.3', onTrouble() {}, exporter });
  return {
    tracer,
    /** What was sent, the first that ended first. Ends the tracer. */
    sent: async (): Promise<ReadableSpan[]> => {
      const spans: ReadableSpan[] = [];
      exporter.export = (batch, done) => {
        spans.push(...batch);
        done({ code: 0 });
      };
      await tracer.close(1000);
      return spans;
    },
  };
}

describe('a request', () => {
  test('begins a trace, whose pieces are its children, each ended with its work', async () => {
    const { tracer, sent } = stage();
    const span = tracer.request('POST', {}, false)!;
    const result = await within(span, () => traced('outer', async () => (await Promise.resolve(), traced('inner', () => 7))));
    span.name('POST /oauth/token');
    span.end();
    expect(result).toBe(7);
    const [inner, outer, root] = await sent();
    expect([inner?.name, outer?.name, root?.name]).toEqual(['inner', 'outer', 'POST /oauth/token']);
    expect(inner?.parentSpanContext?.spanId).toBe(outer?.spanContext().spanId);
    expect(outer?.parentSpanContext?.spanId).toBe(root?.spanContext().spanId);
    expect(root?.parentSpanContext).toBeUndefined();
    expect(root?.resource.attributes).toMatchObject({ 'service.name': 'postern', 'service.version': '1.2.3' });
  });

  test('of a trusted proxy goes on with its trace, and hands its state on', async () => {
    const { tracer, sent } = stage();
    const span = tracer.request('GET', { traceparent: SAMPLED, tracestate: 'vendor=a' }, true)!;
    expect(headersOf(span)).toEqual({
      traceparent: expect.stringMatching(new RegExp(`^00-${THEIRS}-[0-9a-f]{16}-01$`)),
      tracestate: 'vendor=a',
    });
    expect(span.traceId).toBe(THEIRS);
    span.end();
    expect((await sent())[0]?.parentSpanContext).toMatchObject({ traceId: THEIRS, spanId: PARENT });
  });

  test("of a stranger begins a trace of ours; theirs is named beside it, and doesn't decide", async () => {
    const { tracer, sent } = stage();
    const span = tracer.request('GET', { traceparent: UNSAMPLED }, false)!;
    expect(span.traceId).not.toBe(THEIRS);
    span.end();
    expect((await sent())[0]?.links).toMatchObject([{ context: { traceId: THEIRS, spanId: PARENT } }]);
  });

  test('that its caller does not record is not recorded here, and whoever is asked hears so', async () => {
    const { tracer, sent } = stage();
    const span = tracer.request('GET', { traceparent: UNSAMPLED }, true)!;
    expect(span.traceparent).toMatch(new RegExp(`^00-${THEIRS}-[0-9a-f]{16}-00$`));
    expect(span.traceId).toBeUndefined();
    within(span, () => traced('inner', () => expect(currentSpan()).toBe(span)));
    span.end();
    expect(await sent()).toEqual([]);
  });

  test('out of the ratio is nothing at all', async () => {
    const { tracer, sent } = stage({ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' });
    expect(tracer.request('GET', {}, false)).toBeUndefined();
    expect(tracedWork(tracer, 'publish', () => currentSpan())).toBeUndefined();
    expect(await sent()).toEqual([]);
  });

  test.each(['', '00-0-0-0', `00-${'0'.repeat(32)}-${PARENT}-01`, `${SAMPLED},${SAMPLED}`, `ff-${THEIRS}-${PARENT}-01`, 'x'.repeat(9000)])(
    'with the malformed traceparent %j begins a trace of its own',
    async (traceparent) => {
      const { tracer, sent } = stage();
      const span = tracer.request('GET', { traceparent }, true)!;
      expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(span.traceId).not.toBe(THEIRS);
      span.end();
      expect((await sent())[0]?.parentSpanContext).toBeUndefined();
    },
  );

  test("by a method that isn't known has no name of the client's", async () => {
    const { tracer, sent } = stage();
    tracer.request('PROPFIND', {}, false)?.end();
    expect((await sent())[0]).toMatchObject({ name: 'HTTP', attributes: { 'http.request.method': '_OTHER' } });
  });
});

describe('an error', () => {
  test.each<[unknown, string]>([
    [new PosternError('invalid_client', 'text'), 'invalid_client'],
    [new VaultFault('denied', 'text'), 'vault_denied'],
    [new TypeError('secret text'), 'TypeError'],
    ['secret text', 'unknown'],
  ])('ends its span with its kind and none of its words (%#)', async (error, kind) => {
    const { tracer, sent } = stage();
    const span = tracer.request('GET', {}, false)!;
    const failing = async (): Promise<never> => {
      throw error;
    };
    await expect(within(span, () => traced('piece', failing))).rejects.toBe(error);
    expect(() =>
      within(span, () =>
        traced('thrown', () => {
          throw error;
        }),
      ),
    ).toThrow();
    span.end();
    const spans = await sent();
    expect(spans.slice(0, 2).map(({ attributes }) => attributes['error.type'])).toEqual([kind, kind]);
    expect(JSON.stringify(spans.map(({ attributes, events, status }) => [attributes, events, status]))).not.toContain('text');
  });
});

test('text leaves this process in bounds', async () => {
  const { tracer, sent } = stage();
  const span = tracer.request('GET', {}, false)!;
  span.set({ 'postern.tenant': 'x'.repeat(10_000) });
  span.end();
  expect(String((await sent())[0]?.attributes['postern.tenant'])).toHaveLength(200);
});

test('without a trace work only runs', () => {
  expect(traced('piece', () => currentSpan())).toBeUndefined();
  expect(tracedWork(undefined, 'work', () => 3)).toBe(3);
});
