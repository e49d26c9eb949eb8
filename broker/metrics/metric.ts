import { BOUNDS } from './distribution.ts';
import type { Distribution } from './distribution.ts';

/** Label values are of our own small sets, of Terraform's names of APIs or, where a setting asks for it, of tenants. */
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  /** Default: the metric's. */
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
  /** Written for whoever takes OpenMetrics. `timestamp`: seconds since 1970. */
  readonly exemplar?: { readonly labelSet: Labels; readonly value: number; readonly timestamp: number };
}

/** One metric as it is now. Names and units are by https://prometheus.io/docs/practices/naming/ */
export interface Metric {
  /** A counter's ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly values: readonly Sample[];
}

/** @param value undefined: it can't be told now, and has no sample */
export function gauge(name: string, help: string, value: number | undefined, labels: Labels = {}): Metric {
  return { name, help, type: 'gauge', values: value === undefined ? [] : [{ labels, value }] };
}

export function counter(name: string, help: string, values: number | readonly Sample[]): Metric {
  return { name, help, type: 'counter', values: typeof values === 'number' ? [{ labels: {}, value: values }] : values };
}

export function histogram(name: string, help: string, parts: readonly (readonly [Labels, Distribution])[]): Metric {
  return { name, help, type: 'histogram', values: parts.flatMap(([labels, distribution]) => samplesOf(name, labels, distribution)) };
}

function samplesOf(name: string, labels: Labels, { counts, exemplars, sum }: Distribution): Sample[] {
  let total = 0;
  const buckets = [...counts].map((count, at): Sample => {
    total += count;
    const bound = BOUNDS[at];
    const sample = { metricName: `${name}_bucket`, labels: { ...labels, le: bound === undefined ? '+Inf' : String(bound) }, value: total };
    const seen = exemplars[at];
    if (seen === undefined) return sample;
    return { ...sample, exemplar: { labelSet: { trace_id: seen.traceId }, value: seen.seconds, timestamp: seen.at } };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
}
