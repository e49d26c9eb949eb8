import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import { imports } from './law.ts';

const BEGIN = '<!-- rooms: drawn by `make picture` from the imports of the code -->\n```mermaid\n';
const END = '```\n<!-- end of rooms -->';

/**
 * The room of a file: a folder of broker/ or at the top; undefined for the files directly under broker/, which every room imports.
 * @param file path from the checkout's root
 */
function roomOf(file: string): string | undefined {
  const [top = '', second = '', ...deeper] = file.split('/');
  if (top === 'test') return undefined;
  if (top !== 'broker') return top;
  return deeper.length > 0 ? second : undefined;
}

/**
 * The rooms as a Mermaid flowchart, an arrow for each import between two of them. An arrow that a longer way implies is left out.
 * @throws Error when a file can't be read or parsed
 */
export async function picture(): Promise<string> {
  const arrows = new Map<string, Set<string>>();
  for (const { from, to } of await imports()) {
    const [room, target] = [roomOf(from), roomOf(to)];
    if (room === undefined || target === undefined || room === target) continue;
    arrows.set(room, (arrows.get(room) ?? new Set()).add(target));
  }
  const leads = (from: string, to: string, seen = new Set<string>()): boolean =>
    [...(arrows.get(from) ?? [])].some((next) => next === to || (!seen.has(next) && leads(next, to, seen.add(next))));
  const lines = [...arrows]
    .flatMap(([from, all]) =>
      [...all].filter((to) => ![...all].some((between) => between !== to && leads(between, to))).map((to) => `    ${from} --> ${to}`),
    )
    .sort();
  return `flowchart TD\n${lines.join('\n')}\n`;
}

/** The README with this picture in place of the one that it has. */
export function withPicture(readme: string, drawn: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < 0) throw new Error('README.md has lost the marks around its picture of the rooms');
  return readme.slice(0, begin + BEGIN.length) + drawn + readme.slice(end);
}

if (import.meta.main) {
  const path = join(checkout, 'README.md');
  await writeFile(path, withPicture(await readFile(path, 'utf8'), await picture()));
}
