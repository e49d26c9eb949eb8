import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import type { Line } from './line.ts';
import type { Machine } from './machine.ts';
import { plot } from './plot.ts';
import { readme } from './readme.ts';

/** One part of one run; a file of its own, so that a part measured alone leaves the others as they were. */
export interface PartResult {
  part: string;
  /** ISO 8601. */
  at: string;
  machine: Machine;
  options: { rounds: number; seconds: number };
  /** Seconds, all in all. */
  took: number;
  lines: Line[];
  /** Why it couldn't be measured on this machine. */
  notHere?: string;
  /** What went wrong; such a result isn't kept. */
  failed?: string;
}

const HOME = join(checkout, 'docs/benchmarks');
const ROUNDS = join(HOME, 'rounds');

export async function keepResult(result: PartResult): Promise<void> {
  await mkdir(ROUNDS, { recursive: true });
  await writeFile(join(ROUNDS, `${result.part}.json`), `${JSON.stringify(result, rounded, 2)}\n`);
}

/** Writes README.md and the plot from all results that are there. @param order of the parts */
export async function writeReport(order: readonly string[]): Promise<void> {
  const files = await readdir(ROUNDS).catch(() => []);
  const results = await Promise.all(
    files
      .filter((file) => file.endsWith('.json'))
      .map(async (file) => JSON.parse(await readFile(join(ROUNDS, file), 'utf8')) as PartResult),
  );
  const place = ({ part }: PartResult): number => (order.includes(part) ? order.indexOf(part) : order.length);
  const sorted = results.toSorted((a, b) => place(a) - place(b) || a.part.localeCompare(b.part));
  await mkdir(HOME, { recursive: true });
  await writeFile(join(HOME, 'README.md'), readme(sorted));
  await writeFile(join(HOME, 'ratios.svg'), plot(sorted));
}

/** Five digits say all that was measured. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}
