import { describe, expect, test } from 'vitest';
import { SAMPLERS, readTraceSettings } from '#broker/trace-settings.ts';

const read = (env: Record<string, string>) => {
  const faults: string[] = [];
  return { settings: readTraceSettings(env, faults), faults };
};
const HERE = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

describe('traces are off', () => {
  test.each<[string, Record<string, string>]>([
    ['by default', {}],
    ['with an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    ['where the SDK is disabled', { ...HERE, OTEL_SDK_DISABLED: 'TRUE' }],
    ['where nothing exports them', { ...HERE, OTEL_TRACES_EXPORTER: 'none' }],
    ['whatever else is set for other programs', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_TRACES_SAMPLER: 'jaeger_remote' }],
  ])('%s', (_what, env) => {
    expect(read(env)).toEqual({ settings: undefined, faults: [] });
  });
});

describe('traces are on', () => {
  test('with the defaults of the specification', () => {
    expect(read(HERE).settings).toEqual({
      sampler: 'parentbased_always_on',
      ratio: 1,
      delayMs: 5000,
      timeoutMs: 30_000,
      queue: 2048,
      batch: 512,
      endpoint: 'http://127.0.0.1:4318/v1/traces',
    });
  });

  test("with the traces' own endpoint as it is", () => {
    const env = { ...HERE, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example.com/in' };
    expect(read(env).settings?.endpoint).toBe('https://traces.example.com/in');
  });

  test.each(SAMPLERS)('by the sampler %s', (sampler) => {
    expect(read({ ...HERE, OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: '0.01' }).settings).toMatchObject({
      sampler,
      ratio: 0.01,
    });
  });

  test('a batch is never more than the queue holds', () => {
    expect(read({ ...HERE, OTEL_BSP_MAX_QUEUE_SIZE: '100' }).settings).toMatchObject({ queue: 100, batch: 100 });
  });
});

test.each<[string, Record<string, string>]>([
  ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://u:s3cret@collector' }],
  ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/?key=s3cret' }],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_EXPORTER_OTLP_HEADERS: 'api-key=s3cret' }],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', { ...HERE, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
  ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', { ...HERE, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' }],
  ['OTEL_TRACES_EXPORTER', { ...HERE, OTEL_TRACES_EXPORTER: 'zipkin' }],
  ['OTEL_TRACES_SAMPLER', { ...HERE, OTEL_TRACES_SAMPLER: 'sometimes' }],
  ['OTEL_TRACES_SAMPLER_ARG', { ...HERE, OTEL_TRACES_SAMPLER_ARG: '2' }],
  ['OTEL_BSP_SCHEDULE_DELAY', { ...HERE, OTEL_BSP_SCHEDULE_DELAY: 'soon' }],
])('%s is wrong: it is named, and what it holds is not told', (name, env) => {
  const { settings, faults } = read(env);
  expect(settings).toBeUndefined();
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatch(new RegExp(`^${name} must`));
  expect(faults[0]).not.toContain('s3cret');
});
