import { type Secret, spellings } from '#test/fixture/ledger.ts';

/** Characters by which a spelling is looked up; none is shorter. */
const HEAD = 8;

/**
 * The kinds of secrets that stand in a text, in any spelling, each kind once. Never the values. The text is read as
 * latin1, one character a byte, so that a log with broken UTF-8 is searched as well.
 *
 * One pass over the text however many secrets there are: a suite registers thousands.
 */
export function leaksIn(text: string, secrets: readonly Secret[]): string[] {
  const byHead = new Map<string, [spelling: string, kind: string][]>();
  for (const { kind, value } of secrets) {
    for (const form of spellings(value)) {
      const spelling = Buffer.from(form).toString('latin1');
      const head = spelling.slice(0, HEAD);
      const list = byHead.get(head) ?? [];
      list.push([spelling, kind]);
      byHead.set(head, list);
    }
  }
  const found = new Set<string>();
  for (let at = 0; at + HEAD <= text.length; at++) {
    for (const [spelling, kind] of byHead.get(text.slice(at, at + HEAD)) ?? []) {
      if (text.startsWith(spelling, at)) found.add(kind);
    }
  }
  return [...found];
}
