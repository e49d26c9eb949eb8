import { describe, expect, it } from 'vitest';
import { canonicalLimits, formatLimits, limitsDocument, parseLimits } from '#broker/rate-limit/limits.ts';

describe('limits as text', () => {
  it.each([
    ['600/min', { per_minute: 600 }],
    ['100/s', { per_second: 100 }],
    ['100/s,200/burst,600/min,10000/day', { per_second: 100, burst: 200, per_minute: 600, per_day: 10_000 }],
    [' 5 / second , 7/d ', { per_second: 5, per_day: 7 }],
    ['3/m', { per_minute: 3 }],
  ])('%s', (text, limits) => {
    expect(parseLimits(text)).toEqual(limits);
    expect(parseLimits(formatLimits(limits))).toEqual(limits);
  });

  it.each([
    '',
    ',',
    '600',
    '600/hour',
    '/min',
    '-1/min',
    '1.5/s',
    '1e3/s',
    '0/s',
    '600/min,',
    '1/s,2/s',
    '1/s,2/sec',
    '5/burst',
    '10/min,5/burst',
    '99999999999/s',
    '9999999999/day',
    '10/constructor',
    '1/s;2/min',
  ])('refuses %j, in words', (text) => expect(() => parseLimits(text)).toThrow(RangeError));
});

describe('limits in a document', () => {
  it('may leave out and may say null, as Terraform does', () => {
    const parsed = limitsDocument.parse({ per_second: 5, per_minute: null, per_day: null, burst: null });
    expect(canonicalLimits(parsed)).toEqual({ per_second: 5 });
    expect(canonicalLimits({ per_second: null })).toBeNull();
    expect(canonicalLimits(null)).toBeNull();
    expect(formatLimits(null)).toBe('');
  });

  it.each([
    [{ per_sec: 5 }],
    [{ per_second: 0 }],
    [{ per_second: 1.5 }],
    [{ per_second: '5' }],
    [{ per_second: -1 }],
    [{ per_second: true }],
    [{ burst: 5 }],
    [{ per_minute: 1e12 }],
    [[]],
    ['600/min'],
  ])('is refused where it could mean no limit: %j', (document) => expect(limitsDocument.safeParse(document).success).toBe(false));
});
