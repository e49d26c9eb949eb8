import type { Observation } from './journal.ts';

/** Auth0 writes its log some minutes late, so what one look saw of its last minutes counts only where the next saw them too. Ms. */
const LATE_MS = 10 * 60_000;

/** What is known of an application's use. Times in ms since 1970. */
export interface Use {
  /** The last token that it got, and what it last did, got or refused. undefined: nothing was seen. */
  used: number | undefined;
  tried: number | undefined;
  /** From when on, without a gap until the last look, all that it did was seen. undefined: never looked. */
  since: number | undefined;
}

/** Auth0 keeps its log for days, so a longer time is seen by several looks, each reaching back to before the one before it. */
export function useOf(observations: readonly Observation[]): Use {
  const looks = observations
    .map(({ at, since, used, tried }) => ({ at: Date.parse(at), since: Date.parse(since), used: parsed(used), tried: parsed(tried) }))
    .sort((a, b) => b.at - a.at);
  let since = looks[0]?.since;
  for (const look of looks.slice(1)) {
    if (since === undefined || look.at - LATE_MS < since) break;
    since = Math.min(since, look.since);
  }
  return { used: latest(looks.map(({ used }) => used)), tried: latest(looks.map(({ tried }) => tried)), since };
}

const parsed = (iso: string | null): number | undefined => (iso === null ? undefined : Date.parse(iso));

function latest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
