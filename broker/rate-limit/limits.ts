import { z } from 'zod';

/** More than anybody asks in a day. */
export const MOST_REQUESTS = 1_000_000_000;
const quota = z
  .int('is a whole number of requests')
  .min(1, 'is 1 request at least')
  .max(MOST_REQUESTS, `is ${MOST_REQUESTS} requests at most`)
  .nullish();

/**
 * How often somebody may ask: at most so many requests in each second, minute and day. `burst`: so many more than `per_second` allows are let
 * through in each minute.
 */
export const limitsDocument = z
  .strictObject({
    per_second: quota,
    per_minute: quota,
    per_day: quota,
    burst: quota,
  })
  .refine(({ burst, per_second }) => !burst || per_second, {
    message: 'is what may go beyond per_second, which is not there',
    path: ['burst'],
  });

export type Limits = Readonly<z.infer<typeof limitsDocument>>;

const UNITS = { s: 'per_second', min: 'per_minute', d: 'per_day', burst: 'burst' } as const;
const SPELLINGS: Readonly<Record<string, keyof Limits>> = {
  s: 'per_second',
  sec: 'per_second',
  second: 'per_second',
  m: 'per_minute',
  min: 'per_minute',
  minute: 'per_minute',
  d: 'per_day',
  day: 'per_day',
  burst: 'burst',
};

/**
 * `600/min`, or several with commas between: `100/s,200/burst,600/min,10000/day`.
 * @throws {RangeError} in words, where it is anything else
 */
export function parseLimits(text: string): Limits {
  const limits: { -readonly [Name in keyof Limits]: number } = {};
  for (const part of text.split(',')) {
    const [, number = '', unit = ''] = /^\s*([0-9]{1,10})\s*\/\s*([a-z]+)\s*$/.exec(part) ?? [];
    const name = Object.hasOwn(SPELLINGS, unit) ? SPELLINGS[unit] : undefined;
    if (name === undefined)
      throw new RangeError(`${JSON.stringify(part.trim().slice(0, 40))} is not a limit such as 100/s, 600/min, 10000/day or 50/burst`);
    if (limits[name] !== undefined) throw new RangeError(`there are two limits ${name}`);
    limits[name] = Number(number);
  }
  const parsed = limitsDocument.safeParse(limits);
  if (!parsed.success) throw new RangeError(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('; '));
  return parsed.data;
}

/** As {@link parseLimits} reads it. @returns empty where nothing is limited */
export function formatLimits(limits: Limits | null | undefined): string {
  return Object.entries(UNITS)
    .flatMap(([unit, name]) => (limits?.[name] ? [`${limits[name]}/${unit}`] : []))
    .join(',');
}

/** Without what is not limited; null: nothing is. One form for equal limits. */
export function canonicalLimits(limits: Limits | null | undefined): Limits | null {
  const entries = Object.values(UNITS).flatMap((name) => (limits?.[name] ? [[name, limits[name]] as const] : []));
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
