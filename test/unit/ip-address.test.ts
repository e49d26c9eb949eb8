import { describe, expect, test } from 'vitest';
import { canonicalAddress, canonicalCidr } from '#broker/ip-address.ts';

describe('canonicalAddress', () => {
  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0::', '2001:db8::'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:1:1:1:1:0:1', '2001:db8:1:1:1:1:0:1'],
    ['::', '::'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::FFFF:cb00:7109', '203.0.113.9'],
    ['0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('%s is %s', (text, canonical) => expect(canonicalAddress(text)).toBe(canonical));

  test.each([
    '',
    'unknown',
    '_hidden',
    '203.0.113',
    '203.0.113.256',
    '203.0.113.09',
    '0x7f.1',
    '203.0.113.9:80',
    '[::1]',
    '1.2.3.4%eth0',
    '::1::',
  ])('%s is refused', (text) => expect(canonicalAddress(text)).toBeUndefined());
});

describe('canonicalCidr', () => {
  test.each([
    ['203.0.113.0/24', '203.0.113.0/24'],
    ['203.0.113.9/24', '203.0.113.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['203.0.113.9/032', '203.0.113.9/32'],
    ['2001:0db8:0000::/32', '2001:db8::/32'],
    ['2001:db8:0::/48', '2001:db8::/48'],
    ['2001:DB8::1/64', '2001:db8::/64'],
    ['2001:db8:0:0:1::/80', '2001:db8:0:0:1::/80'],
    ['::/0', '::/0'],
    ['::1/128', '::1/128'],
    ['::ffff:203.0.113.9/120', '203.0.113.0/24'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['::ffff:cb00:7109/128', '203.0.113.9/32'],
  ])('%s is %s', (text, canonical) => expect(canonicalCidr(text)).toBe(canonical));

  test('each is its own canonical form', () => {
    for (const text of ['203.0.113.9/24', '2001:0db8:0000::/32', '::ffff:203.0.113.9/120', 'fe80:0:0:0:1::2/70']) {
      const once = canonicalCidr(text) ?? '';
      expect(canonicalCidr(once)).toBe(once);
    }
  });

  test.each([
    '',
    '203.0.113.0',
    '203.0.113.0/33',
    '::/129',
    '203.0.113.0/',
    '/24',
    '203.0.113.0/-1',
    ' 203.0.113.0/24',
    'fe80::1%eth0/64',
    '1.2.3/8',
    'x/8',
  ])('%s is refused', (text) => expect(canonicalCidr(text)).toBeUndefined());
});
