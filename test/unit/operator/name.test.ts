import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalCidrs, checkTenantId, contains, isCidr } from '#broker/operator/name.ts';

describe('a tenant id', () => {
  test.each(['acme', 'a', '0', 'a-b', 'a'.repeat(63)])('%s', (id) => {
    expect(() => checkTenantId(id)).not.toThrow();
  });

  test('is never what a path or a policy could read differently', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', minLength: 0, maxLength: 100 }),
      fc
        .tuple(fc.string(), fc.constantFrom('/', '..', '//', '*', '+', '%2f', '\0', ' ', '.', '{{', '\u202E', 'ａ', 'A', '_'))
        .map(([text, part]) => `a${text}${part}b`),
    );
    fc.assert(
      fc.property(hostile, (id) => {
        fc.pre(!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(id));
        expect(() => checkTenantId(id)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each(['auditor', 'broker', 'default', 'operator', 'postern', 'root'])('%s is reserved', (id) => {
    expect(() => checkTenantId(id)).toThrow(/reserved/);
  });
});

test.each(['10.0.0.0/8', '0.0.0.0/0', '127.0.0.1/32', '::/0', '2001:db8::/32', '::1/128'])('%s is a block', (text) => {
  expect(isCidr(text)).toBe(true);
});

test.each([
  '10.0.0.1',
  '10.0.0.0/33',
  '10.0.0.999/8',
  '::/129',
  '/8',
  '10.0.0.0/',
  '10.0.0.0/-1',
  'localhost/8',
  '10.0.0.0/8/8',
  ' 10.0.0.0/8',
  'fe80::1%eth0/64',
])('%s is refused', (text) => {
  expect(isCidr(text)).toBe(false);
});

test.each([
  ['10.0.0.0/8', '10.1.0.0/16', true],
  ['10.0.0.0/8', '10.0.0.0/8', true],
  ['0.0.0.0/0', '10.0.0.0/8', true],
  ['10.0.0.1', '10.0.0.1/32', true],
  ['10.1.0.0/16', '10.0.0.0/8', false],
  ['10.0.0.0/16', '10.0.0.0/8', false],
  ['2001:db8::/48', '2001:db8::/32', false],
  ['10.0.0.0/8', '11.0.0.0/16', false],
  ['0.0.0.0/0', '::/0', false],
  ['2001:db8::/32', '2001:db8:1::/48', true],
  ['2001:db8::/32', '2001:db9::/48', false],
  ['nonsense', '10.0.0.0/8', false],
  ['2001:0DB8:0000::/32', '2001:db8:1::/48', true],
  ['::ffff:10.0.0.0/104', '10.1.0.0/16', true],
  ['2001:0db8::0001', '2001:db8::1/128', true],
  ['10.9.9.9/8', '10.1.0.1/16', true],
])('%s holds %s: %s', (outer, inner, expected) => {
  expect(contains(outer, inner)).toBe(expected);
});

test('blocks go to Vault in canonical form, each once', () => {
  expect(canonicalCidrs(['2001:0db8:0000::/32', '2001:db8::/32', '10.1.2.3/8', '::ffff:203.0.113.9/120'])).toEqual([
    '2001:db8::/32',
    '10.0.0.0/8',
    '203.0.113.0/24',
  ]);
  expect(() => canonicalCidrs(['10.0.0.0/8', 'everywhere'])).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
});
