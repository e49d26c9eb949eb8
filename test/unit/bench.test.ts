import { describe, expect, it } from 'vitest';
import { compared, notHere, pair } from '#test/bench/line.ts';
import type { Comparison } from '#test/bench/line.ts';
import { plot } from '#test/bench/plot.ts';
import { sharesOf } from '#test/bench/profile.ts';
import { readme } from '#test/bench/readme.ts';
import type { PartResult } from '#test/bench/results.ts';

const comparison = (ours: number[], other: number[]): Comparison => ({
  what: 'a hit over <nothing>',
  goal: 0.9,
  worst: 0.8,
  sign: '',
  ours: ours.map((rate) => ({ rate, cpu: 20 })),
  other: other.map((rate) => ({ rate, cpu: 10 })),
});

const result = (lines: PartResult['lines'], more: Partial<PartResult> = {}): PartResult => ({
  part: 'exchange',
  at: '2026-11-29T19:00:00.000Z',
  machine: { cpu: 'CPU', cores: 2, memory: 8, system: 'linux 6.1', node: 'v24.0.0', vault: '1.21.2', load: 0, commit: 'abc' },
  options: { rounds: 3, seconds: 2 },
  took: 60,
  lines,
  ...more,
});

describe('a comparison', () => {
  it('is the median of the rounds, with the least and the greatest, and the processor time of both', () => {
    const line = compared(comparison([90, 100, 85], [100, 100, 100]));
    expect(line).toMatchObject({ reached: true, goal: '≥ 0.9, each ≥ 0.8' });
    expect(line.measured).toBe('0.90 (90/s over 100/s; rounds 0.85 to 1.00); CPU a request 20.0 µs over 10.0 µs');
  });

  it.each([
    ['its median', [89, 89, 100]],
    ['its worst round', [79, 95, 100]],
  ])('is missed by %s', (_by, ours) => {
    expect(compared(comparison(ours, [100, 100, 100])).reached).toBe(false);
  });

  it('has each first in every other round, and leaves out the warm-up', async () => {
    const into = { ours: [], other: [] } as Pick<Comparison, 'ours' | 'other'>;
    const order: string[] = [];
    const run = (name: string) => async () => (order.push(name), { rate: order.length });
    for (const round of [0, 1]) await pair(into, round, run('ours'), run('other'));
    expect(order).toEqual(['ours', 'other', 'other', 'ours']);
    expect(into).toEqual({ ours: [{ rate: 4 }], other: [{ rate: 3 }] });
  });
});

describe('docs/benchmarks', () => {
  const lines = [compared(comparison([90, 100, 85], [100, 100, 100])), notHere('Hydra', '≥ 100×', new Error('Go is not installed'))];

  it('says what was measured, on what, and what could not be had', () => {
    const text = readme([result(lines), result([], { part: 'other', notHere: 'there is no nginx' })]);
    expect(text).toContain(
      '| a hit over <nothing> | ≥ 0.9, each ≥ 0.8 | 0.90 (90/s over 100/s) | 0.85 to 1.00 | 20.0 µs over 10.0 µs | reached |',
    );
    expect(text).toContain('| Hydra | ≥ 100× | not here: Go is not installed |  |  |  |');
    expect(text).toContain('Not here: there is no nginx');
    expect(text).not.toContain('busy with other work');
  });

  it('says that the machine was busy', () => {
    const [one] = [result(lines)];
    expect(readme([{ ...one, machine: { ...one.machine, load: 4 } }])).toContain('**busy with other work**');
  });

  it('draws each round', () => {
    const drawn = plot([result(lines)]);
    expect(drawn.match(/<circle/g)).toHaveLength(3);
    expect(drawn).toContain('a hit over &lt;nothing&gt;');
  });
});

it('a profile is told by whose work it is, without idle time and what came before', () => {
  const frame = (id: number, functionName: string, url = '') => ({ id, callFrame: { functionName, url } });
  const nodes = [
    frame(1, '(idle)'),
    frame(2, 'writeLatin1String'),
    frame(3, 'reply', 'file:///checkout/broker/http/reply.ts'),
    frame(4, 'get', 'file:///checkout/node_modules/lru-cache/dist/index.js'),
    frame(5, 'start', 'file:///checkout/broker/main.ts'),
  ];
  const shares = sharesOf({ nodes, samples: [5, 1, 2, 3, 4, 1, 2], timeDeltas: [5e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6] }, 6);
  expect(shares).toEqual([
    ['writing to sockets, in the kernel', 0.5],
    ['broker/http', 0.25],
    ['package lru-cache', 0.25],
  ]);
});
