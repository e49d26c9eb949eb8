import { randomInt } from 'node:crypto';
import type { TenantIndex } from '#broker/operator/tenant/list.ts';

/** Tenants that are looked at one by one unless told: three reads each. */
export const SAMPLE = 1000;

/** Which tenants are looked at one by one; what lists tell is told of all. */
export interface Sample {
  readonly index: TenantIndex;
  /** Those that there are. */
  readonly of: number;
}

/** @param most of them, chosen at random; those that have a role or a document alone go first */
export function sampleOf(index: TenantIndex, most: number): Sample {
  const { names, roles, documents } = index;
  if (names.length <= most) return { index, of: names.length };
  const half = (name: string): boolean => !roles.has(name) || !documents.has(name);
  const chosen = names.filter(half).slice(0, most);
  const whole = names.filter((name) => !half(name));
  // Fisher and Yates' shuffle, as far as it is needed.
  for (let at = 0; at < whole.length && chosen.length < most; at += 1) {
    const other = randomInt(at, whole.length);
    [whole[at], whole[other]] = [whole[other]!, whole[at]!];
    chosen.push(whole[at]!);
  }
  return { index: { ...index, names: chosen.sort() }, of: names.length };
}

/** Of a look at all of them; else how many of how many. */
export function outOf({ index, of }: Sample): string {
  return index.names.length === of ? `${of}` : `${index.names.length} of ${of}, chosen at random (--tenants all looks at each)`;
}
