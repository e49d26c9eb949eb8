import { InvalidArgumentError } from 'commander';

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_536_000 } as const;

/**
 * `90`, `90s`, `15m`, `12h`, `30d`, `2w`, `1y`, `1h30m` -> seconds.
 * @throws InvalidArgumentError
 */
export function seconds(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/(\d{1,10})([smhdwy])/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text)
    throw new InvalidArgumentError('It is a number of seconds, or like 90s, 15m, 12h, 30d, 1y.');
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit as keyof typeof UNITS], 0);
}

/** A whole number, 0 or more. @throws InvalidArgumentError */
export function count(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('It is a whole number, 0 or more.');
  return Number(text);
}

/** Seconds in words: the two largest units, e.g. `1 day 2 hours`. */
export function inWords(total: number): string {
  if (total < 1) return '0 seconds';
  let rest = Math.floor(total);
  const words: string[] = [];
  for (const [unit, size] of [
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
    ['second', 1],
  ] as const) {
    const number = Math.floor(rest / size);
    rest %= size;
    if (number > 0) words.push(`${number} ${unit}${number === 1 ? '' : 's'}`);
    if (words.length === 2 || (words.length === 1 && number === 0)) break;
  }
  return words.join(' ');
}

/** An ISO time as `2026-11-24 07:31` UTC and how far it is; `never` where there is none. */
export function moment(iso: string | null, never: string, now = Date.now()): string {
  if (iso === null) return never;
  const away = (Date.parse(iso) - now) / 1000;
  return `${iso.slice(0, 16).replace('T', ' ')}Z (${away >= 0 ? `in ${inWords(away)}` : `${inWords(-away)} ago`})`;
}
