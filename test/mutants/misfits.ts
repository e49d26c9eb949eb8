import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import type { Mutant, Mutants } from './mutant.ts';

/** How often what it replaces stands in its file: a fault fits where that is once. */
export function placesOf([, find]: Mutant, source: string): number {
  return source.split(find).length - 1;
}

/** Those that don't fit the code any more. */
export function misfits(mutants: Mutants): string[] {
  return Object.entries(mutants).flatMap(([file, list]) => {
    const source = readFileSync(join(checkout, file), 'utf8');
    return list.filter((mutant) => placesOf(mutant, source) !== 1).map(([name]) => `${file}: ${name}`);
  });
}
