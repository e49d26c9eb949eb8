import { median } from './median.ts';

/** One run of something under load. */
export interface Sample {
  /** Requests a second. */
  readonly rate: number;
  /** µs of processor time that its server used for a request, user and system; undefined where the machine doesn't tell. */
  readonly cpu?: number | undefined;
  /** Of these, in the program itself. */
  readonly user?: number | undefined;
}

/** One row of the report. */
export interface Line {
  what: string;
  goal: string;
  measured: string;
  /** Undefined where it couldn't be measured here, or where nothing is asked. */
  reached: boolean | undefined;
  /** Of a comparison: each round, and the least ratio asked. */
  compared?: { readonly goal: number; readonly ours: readonly Sample[]; readonly other: readonly Sample[] };
}

/** One thing and what it is held against, a pair a round. */
export interface Comparison {
  what: string;
  /** The least ratio. */
  goal: number;
  /** The least of the rounds' ratios, where it is asked too. */
  worst?: number;
  sign: '' | '×';
  ours: Sample[];
  other: Sample[];
}

/** The median of the rounds' ratios, and the processor time a request costs on either side, which another's load moves less. */
export function compared({ what, goal, worst, sign, ours, other }: Comparison): Line {
  const ratios = ratiosOf(ours, other);
  const ratio = median(ratios);
  const rate = (samples: readonly Sample[]): number => Math.round(median(samples.map((sample) => sample.rate)));
  const cost = costOf(ours, other);
  const told =
    `${ratio.toFixed(2)}${sign} (${rate(ours)}/s over ${rate(other)}/s; ` +
    `rounds ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
  return {
    what,
    goal: worst === undefined ? `≥ ${goal}${sign}` : `≥ ${goal}${sign}, each ≥ ${worst}${sign}`,
    measured: cost === undefined ? told : `${told}; CPU a request ${cost}`,
    reached: ratio >= goal && (worst === undefined || Math.min(...ratios) >= worst),
    compared: { goal, ours, other },
  };
}

export function ratiosOf(ours: readonly Sample[], other: readonly Sample[]): number[] {
  return ours.map(({ rate }, at) => rate / other[at]!.rate);
}

/** In words: what a request costs either side, medians of the rounds; undefined where the machine doesn't tell. */
export function costOf(ours: readonly Sample[], other: readonly Sample[]): string | undefined {
  const [cpu, otherCpu] = [medianOf(ours, 'cpu'), medianOf(other, 'cpu')];
  if (cpu === undefined || otherCpu === undefined) return undefined;
  const [user, otherUser] = [medianOf(ours, 'user'), medianOf(other, 'user')];
  const inside =
    user === undefined || otherUser === undefined ? '' : `, ${user.toFixed(1)} over ${otherUser.toFixed(1)} in the program itself`;
  return `${cpu.toFixed(1)} µs over ${otherCpu.toFixed(1)} µs${inside}`;
}

function medianOf(samples: readonly Sample[], what: 'cpu' | 'user'): number | undefined {
  const told = samples.flatMap(({ [what]: one }) => (one === undefined ? [] : [one]));
  return told.length === 0 ? undefined : median(told);
}

/** What was thrown, so that what can't be had is told in its place. */
export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** What can't be had here, or couldn't be measured. */
export function notHere(what: string, goal: string, reason: unknown): Line {
  const told = asError(reason).message;
  return { what, goal, measured: `not here: ${told.split('\n')[0]!.slice(0, 300)}`, reached: undefined };
}

/**
 * One round of a comparison: each is first in every other round, since what ran before warms up what comes. Round 0 is the warm-up, and
 * isn't counted.
 */
export async function pair<S extends Sample>(
  into: Pick<Comparison, 'ours' | 'other'>,
  round: number,
  ours: () => Promise<S>,
  other: () => Promise<S>,
): Promise<{ ours: S; other: S }> {
  const samples = new Map<() => Promise<S>, S>();
  for (const run of round % 2 === 0 ? [ours, other] : [other, ours]) samples.set(run, await run());
  const both = { ours: samples.get(ours)!, other: samples.get(other)! };
  if (round > 0) {
    into.ours.push(both.ours);
    into.other.push(both.other);
  }
  return both;
}
