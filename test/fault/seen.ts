/** What clients saw while something went wrong. */
export interface Seen {
  fault: string;
  seconds: number;
  /** Before it. */
  quiet: Answers;
  hits: Answers;
  /** One exchange a second by a credential that no broker has seen. */
  cold: Answers;
  /** Tokens that weren't theirs or that a service refuses, and right credentials called wrong. */
  wrong: string[];
  /** Requests to Auth0's token endpoint. */
  upstream: number;
}

export class Answers {
  asked = 0;
  served = 0;
  /** By status, or by why there was no answer. */
  readonly errors: Record<string, number> = {};
  /** ms between two that were served; the time until the first of them counts, and so does that after the last. */
  longestGap = 0;
  readonly #waits: number[] = [];
  readonly #refusals: number[] = [];
  #last = performance.now();

  note(outcome: string, ms: number): void {
    this.asked += 1;
    if (outcome !== '200') {
      this.errors[outcome] = (this.errors[outcome] ?? 0) + 1;
      this.#refusals.push(ms);
      return;
    }
    this.served += 1;
    this.#waits.push(ms);
    this.close();
    this.#last = performance.now();
  }

  close(): void {
    this.longestGap = Math.max(this.longestGap, performance.now() - this.#last);
  }

  /** Of those that were served, ms. */
  wait(share: number): number {
    return quantile(this.#waits, share);
  }

  /** Of those that weren't, ms. */
  refusal(share: number): number {
    return quantile(this.#refusals, share);
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

const listed = (errors: Readonly<Record<string, number>>): string =>
  Object.entries(errors)
    .map(([what, count]) => `${count} × ${what}`)
    .join(', ') || '0';

export const HEADING =
  '| fault | hits: asked, errors | longest gap, p99 | cold: asked, errors (in, median) | longest gap | wrong | upstream calls |\n' +
  '| --- | --- | --- | --- | --- | --- | --- |';

/** A line of the table in docs/faults.md. */
export function row({ fault, seconds, hits, cold, wrong, upstream }: Omit<Seen, 'quiet'>): string {
  const ms = (value: number): string => `${Math.round(value)} ms`;
  const cells = [
    `${fault} (${seconds.toFixed(0)} s)`,
    `${hits.asked}, ${listed(hits.errors)}`,
    `${ms(hits.longestGap)}, ${ms(hits.wait(0.99))}`,
    `${cold.asked}, ${listed(cold.errors)}${cold.served === cold.asked ? '' : ` (${ms(cold.refusal(0.5))})`}`,
    ms(cold.longestGap),
    String(wrong.length),
    String(upstream),
  ];
  return `| ${cells.join(' | ')} |`;
}
