import { isDeepStrictEqual } from 'node:util';

/** A decoded access token. */
export interface Token {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * How much a difference matters: `same`; `changes`, which it does for every application that moves, so that only services notice that
 * tell customers apart by it; `more`, what services ignore; `noticed`, what makes services answer otherwise.
 */
export type Weight = 'same' | 'changes' | 'more' | 'noticed';

export interface Difference {
  readonly claim: string;
  readonly weight: Weight;
  /** As the tokens have it; undefined: not there. */
  readonly before: unknown;
  readonly after: unknown;
  /** What it means for services; empty where it is the same. */
  readonly meaning: string;
}

/** Who the caller is: never the same in another system. */
const CALLER: readonly string[] = ['sub', 'azp', 'client_id'];
/** Different in every token. */
const EACH_TIME: readonly string[] = ['iat', 'exp', 'nbf', 'jti'];
/** A namespaced claim of our own, which binds a token to its tenant. */
const TENANT_CLAIM = 'https://postern.dev/tenant';

/** Compares what Auth0 gave the old application with what its tenant gets, as services see it. */
export function compareTokens(before: Token, after: Token): Difference[] {
  const differences: Difference[] = [];
  const add = (claim: string, weight: Weight, meaning: string, values: [unknown, unknown]): void =>
    void differences.push({ claim, weight, meaning: weight === 'same' ? '' : meaning, before: values[0], after: values[1] });
  for (const name of ['alg', 'typ']) {
    const values: [unknown, unknown] = [before.header[name], after.header[name]];
    const same = String(values[0]).toLowerCase() === String(values[1]).toLowerCase();
    add(name, same ? 'same' : 'noticed', 'verifiers that check it refuse the token', values);
  }
  const names = new Set([...Object.keys(before.claims), ...Object.keys(after.claims)].filter((name) => !EACH_TIME.includes(name)));
  for (const name of names) {
    const values: [unknown, unknown] = [before.claims[name], after.claims[name]];
    const { weight, meaning } = weigh(name, ...values);
    add(name, weight, meaning, values);
  }
  const lives: [unknown, unknown] = [life(before), life(after)];
  add('lifetime', lives[0] === lives[1] ? 'same' : 'more', 'seconds; clients fetch a new token as expires_in says', lives);
  return differences.sort((a, b) => ORDER.indexOf(a.weight) - ORDER.indexOf(b.weight) || a.claim.localeCompare(b.claim));
}

const ORDER: readonly Weight[] = ['noticed', 'changes', 'more', 'same'];

function weigh(name: string, before: unknown, after: unknown): { weight: Weight; meaning: string } {
  if (name === 'aud' || name === 'permissions') {
    return isDeepStrictEqual(words(before), words(after)) && (name === 'aud' || (before === undefined) === (after === undefined))
      ? SAME
      : rights(name, before, after);
  }
  if (name === 'scope') return isDeepStrictEqual(words(before), words(after)) ? SAME : rights(name, before, after);
  if (isDeepStrictEqual(before, after)) return SAME;
  if (CALLER.includes(name))
    return { weight: 'changes', meaning: 'services that tell customers apart by it must know the new one, or go by a claim of the tenant' };
  if (name === 'iss') return { weight: 'noticed', meaning: 'services must trust this issuer too before customers move' };
  if (after === undefined) return { weight: 'noticed', meaning: 'services that read it find it no longer' };
  if (name === TENANT_CLAIM) return { weight: 'more', meaning: 'says which tenant it is' };
  if (before === undefined) return { weight: name === 'org_id' ? 'noticed' : 'more', meaning: 'was not there before' };
  return { weight: 'noticed', meaning: 'services that read it decide otherwise' };
}

const SAME = { weight: 'same', meaning: '' } as const;

function rights(name: string, before: unknown, after: unknown): { weight: Weight; meaning: string } {
  const [had, has] = [words(before), words(after)];
  const gone = had.filter((one) => !has.includes(one));
  const come = has.filter((one) => !had.includes(one));
  if (gone.length > 0) return { weight: 'noticed', meaning: `services that ask for ${gone.join(' ')} refuse` };
  if (name === 'aud' && come.length > 0) return { weight: 'more', meaning: 'it is good for more' };
  if (come.length > 0) return { weight: 'noticed', meaning: `it may do more than before: ${come.join(' ')}` };
  return { weight: 'more', meaning: 'empty where it was not there, or the other way round' };
}

/** A set of words, however it is written. */
function words(value: unknown): string[] {
  const list = Array.isArray(value) ? value.map(String) : typeof value === 'string' ? value.split(/\s+/).filter(Boolean) : [];
  return [...new Set(list)].sort();
}

function life({ claims }: Token): number | undefined {
  const { iat, exp } = claims;
  return typeof iat === 'number' && typeof exp === 'number' ? exp - iat : undefined;
}
