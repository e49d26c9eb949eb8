import { median } from './first-exchange.ts';

/** One row of the report. */
export interface Line {
  what: string;
  goal: string;
  measured: string;
  reached: boolean;
}

/** Rates of one thing and of what it is held against, a pair a round. */
export interface Comparison {
  what: string;
  /** The least ratio. */
  goal: number;
  sign: '' | '×';
  ours: number[];
  other: number[];
}

/** The median of the rounds' ratios. */
export function compared({ what, goal, sign, ours, other }: Comparison): Line {
  const ratios = ours.map((rate, i) => rate / other[i]!);
  const ratio = median(ratios);
  return {
    what,
    goal: `≥ ${goal}${sign}`,
    measured:
      `${ratio.toFixed(2)}${sign} (${Math.round(median(ours))}/s over ${Math.round(median(other))}/s; ` +
      `rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
    reached: ratio >= goal,
  };
}
