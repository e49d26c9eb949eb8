import { BoundedMap } from './bounded-map.ts';

/** Most different values, and the longest of each, characters of JSON. What there is more or longer of isn't shared. */
const MAX = 1_000;
const MAX_TEXT = 4_096;

/** By their JSON. */
const values = new BoundedMap<string, object>(MAX);
const texts = new BoundedMap<string, string>(MAX);

/**
 * One copy of what many have alike: of 100,000 tenants those of one plan have the same grants, and their documents came one by one.
 * @returns one that is equal to it, frozen, since others have it, too
 */
export function sharedValue<T extends object>(value: T): T {
  const text = JSON.stringify(value);
  if (text.length > MAX_TEXT) return value;
  const known = values.get(text);
  if (known !== undefined) return known as T;
  freeze(value);
  values.set(text, value);
  return value;
}

/** The same of a text. */
export function sharedText(text: string): string {
  if (text.length > MAX_TEXT) return text;
  const known = texts.get(text);
  if (known !== undefined) return known;
  texts.set(text, text);
  return text;
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const part of Object.values(value)) freeze(part);
  Object.freeze(value);
}
