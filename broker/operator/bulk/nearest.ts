/** The name that a mistyped one most likely means; undefined where none is near. */
export function nearest(given: string, names: readonly string[]): string | undefined {
  const wanted = plain(given);
  const best = names.map((name) => ({ name, away: distance(wanted, plain(name)) })).sort((a, b) => a.away - b.away)[0];
  return best !== undefined && best.away <= Math.max(2, Math.floor(wanted.length / 3)) ? best.name : undefined;
}

const plain = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .slice(0, 64);

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries())
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === other ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
}
