import type { Line } from './line.ts';
import { median } from './median.ts';
import { postPaced } from './wrk.ts';
import type { Load } from './wrk.ts';

/** A server, and the processes whose time is its. */
export interface Target {
  readonly url: string;
  readonly pids: readonly number[];
}

const GOAL = 1.3;

/** The slowest hundredth at a load that leaves room: both are offered the same, a share of what the bare handler bears at most. */
export class Tail {
  readonly #ours: Load[] = [];
  readonly #bare: Load[] = [];

  /** @param rate requests a second */
  async round(
    round: number,
    rate: number,
    seconds: number,
    form: Record<string, string>,
    [ours, bare]: readonly [Target, Target],
  ): Promise<void> {
    for (const target of round % 2 === 0 ? [ours, bare] : [bare, ours]) {
      const load = await postPaced(target.url, form, { rate, seconds, pids: target.pids });
      (target === ours ? this.#ours : this.#bare).push(load);
    }
  }

  line(): Line {
    const ratios = this.#ours.map(({ p99 }, at) => p99 / this.#bare[at]!.p99);
    const of = (loads: readonly Load[], value: (load: Load) => number): number => median(loads.map(value));
    const ratio = median(ratios);
    return {
      what: "p99 of a hit over bare's p99, both offered 70 % of what bare bears",
      goal: `≤ ${GOAL}×`,
      measured:
        `${ratio.toFixed(2)}× (${of(this.#ours, ({ p99 }) => p99).toFixed(2)} ms at ${Math.round(of(this.#ours, ({ rate }) => rate))}/s over ` +
        `${of(this.#bare, ({ p99 }) => p99).toFixed(2)} ms at ${Math.round(of(this.#bare, ({ rate }) => rate))}/s; ` +
        `rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
      reached: ratio <= GOAL,
    };
  }
}
