import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_CREDENTIAL, PROBLEMS, Problem, problemOf } from '#broker/admin/problem.ts';
import type { Slug } from '#broker/admin/problem.ts';
import { cursorOf, nextLink, pageOf, pageQuery } from '#broker/admin/page.ts';
import { Rate } from '#broker/admin/rate.ts';
import { CIDR, newKey, newTenant } from '#broker/admin/schema.ts';
import { ERROR_CODES, PosternError } from '#broker/error.ts';
import { isCidr } from '#broker/operator/name.ts';

describe('problems', () => {
  test.each(Object.keys(PROBLEMS) as Slug[])('%s has all members of RFC 9457', (slug) => {
    const [status, title] = PROBLEMS[slug];
    expect(new Problem(slug, 'why').body('urn:uuid:x')).toEqual({
      type: `https://postern.dev/problems/${slug}`,
      title,
      status,
      detail: 'why',
      instance: 'urn:uuid:x',
    });
  });

  test('challenges of RFC 6750', () => {
    expect(new Problem('invalid-token', NO_CREDENTIAL).headers()).toEqual({ 'WWW-Authenticate': 'Bearer realm="postern-admin"' });
    expect(new Problem('invalid-token', 'has "ended"\r\nX: y').headers()).toEqual({
      'WWW-Authenticate': 'Bearer realm="postern-admin", error="invalid_token", error_description="has  ended   X: y"',
    });
    expect(new Problem('insufficient-scope', 'no', { permission: 'manage:keys' }).headers()['WWW-Authenticate']).toBe(
      'Bearer realm="postern-admin", error="insufficient_scope", error_description="no", scope="manage:keys"',
    );
    expect(new Problem('access-denied', 'no').headers()).toEqual({});
    expect(new Problem('too-many-requests', 'x', { retryAfter: 0.2 }).headers()).toEqual({ 'Retry-After': '1' });
  });

  test.each([
    [new PosternError('not_found', 'no tenant'), 'not-found', 'no tenant'],
    [new PosternError('invalid_request', "can't be:\n  one\n  two"), 'unprocessable', "can't be: one two"],
    [
      new PosternError('temporarily_unavailable', 'Vault cannot be reached at https://vault.internal:8200'),
      'temporarily-unavailable',
      'Vault cannot answer now; try again later',
    ],
    [new PosternError('misconfigured', 'canary'), 'temporarily-unavailable', 'Vault cannot answer now; try again later'],
    [new TypeError('canary'), 'temporarily-unavailable', 'The service cannot answer now; try again later'],
    [Object.assign(new SyntaxError('Unexpected token canary'), { statusCode: 400 }), 'malformed-request', 'The body is not valid JSON'],
    [
      Object.assign(new Error('canary'), { code: 'FST_ERR_CTP_BODY_TOO_LARGE', statusCode: 413 }),
      'payload-too-large',
      'The body is larger than 262144 bytes',
    ],
    ['a text', 'temporarily-unavailable', 'The service cannot answer now; try again later'],
  ])('of %s', (error, slug, detail) => {
    const problem = problemOf(error);
    expect({ slug: problem.slug, detail: problem.message }).toEqual({ slug, detail });
    expect(JSON.stringify([problem.body('x'), problem.headers()])).not.toContain('canary');
  });

  test.each(ERROR_CODES)('%s has the status that the OAuth endpoints answer; 422 where they have 400', (code) => {
    const error = new PosternError(code, 'x');
    expect(problemOf(error).status).toBe(error.status === 400 ? 422 : error.status);
  });

  test('a 503 always says when to come again', () => {
    expect(problemOf(new PosternError('misconfigured', 'x')).headers()).toEqual({ 'Retry-After': '1' });
    expect(problemOf(new PosternError('temporarily_unavailable', 'x', { retryAfter: 7 })).headers()).toEqual({ 'Retry-After': '7' });
  });
});

describe('pages', () => {
  test('a cursor leads to the item after', () => {
    const cursor = cursorOf('acme');
    expect(pageOf(pageQuery.parse({ limit: '7', cursor }))).toEqual({ limit: 7, after: 'acme' });
    expect(pageOf(pageQuery.parse({}))).toEqual({ limit: 50, after: undefined });
    expect(nextLink('/v1/tenants', 7, cursor)).toBe('</v1/tenants?limit=7&cursor=YWNtZQ>; rel="next"');
  });
  test('any text of its form is a position', () => {
    expect(pageOf(pageQuery.parse({ cursor: '_-_-' })).after).toBeTypeOf('string');
  });
});

test("an allowance is used up, refills evenly, and is each one's own", () => {
  let now = 0;
  const rate = new Rate({ perMinute: 60, now: () => now });
  for (let request = 0; request < 60; request += 1) expect(rate.take('a')).toBe(0);
  expect(rate.take('a')).toBeCloseTo(1);
  expect(rate.take('b')).toBe(0);
  now += 1000;
  expect(rate.wait('a')).toBe(0);
  expect(rate.take('a')).toBe(0);
  expect(rate.take('a')).toBeCloseTo(1);
  now += 3_600_000;
  for (let request = 0; request < 60; request += 1) expect(rate.take('a')).toBe(0);
  expect(rate.take('a')).toBeGreaterThan(0);
});

describe('forms', () => {
  test.each([
    '10.0.0.0/8',
    '0.0.0.0/0',
    '255.255.255.255/32',
    '::/0',
    '2001:db8::/32',
    '::1/128',
    '1:2:3:4:5:6:7:8/64',
    'fe80::1:2/10',
    '1::8/1',
    'ABCD::/16',
    '::ffff:1.2.3.4/120',
    '1:2:3:4:5:6:1.2.3.4/128',
    '1::6:1.2.3.4/8',
    '1:2:3:4:5::1.2.3.4/8',
    '::1.2.3.4/96',
    '203.0.113.9/032',
    '::/000',
  ])('%s is a block, here and in the domain', (block) => {
    expect([CIDR.test(block), isCidr(block)]).toEqual([true, true]);
  });
  test.each([
    '10.0.0.0',
    '10.0.0.0/33',
    '256.0.0.0/8',
    '10.0.0/8',
    '::/129',
    ':::/8',
    '1:2:3:4:5:6:7:8:9/8',
    '1::2::3/8',
    '10.0.0.0/8\n',
    ' 10.0.0.0/8',
    'g::/8',
    '1:2:3:4:5:6:7:1.2.3.4/8',
    '::1.2.3.256/8',
    '::ffff:1.2.3.4/129',
    '10.0.0.0/0008',
    '/8',
    '',
  ])('%j is refused', (block) => {
    expect([CIDR.test(block), isCidr(block)]).toEqual([false, false]);
  });
  test('any spelling of IPv6 with any prefix is taken by both or by neither', () => {
    const prefix = fc.integer({ min: 0, max: 140 }).map((bits) => `/${bits}`);
    const broken = fc.tuple(fc.ipV6(), fc.nat(40), fc.constantFrom('', ':', '::', '1', '.', '0')).map(([text, at, more]) => {
      const cut = at % (text.length + 1);
      return text.slice(0, cut) + more + text.slice(cut);
    });
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), fc.ipV4(), broken), prefix, (address, bits) => CIDR.test(address + bits) === isCidr(address + bits)),
      { numRuns: 5_000 },
    );
  });
  test.each(['a\u0000', 'a\nb', 'x'.repeat(129), '\u0085', '\u2028', ''])('the name %j is refused', (name) => {
    expect(newKey.safeParse({ name }).success).toBe(false);
  });
  test('128 characters beyond the basic plane are 128', () => {
    expect(newKey.safeParse({ name: '🔑'.repeat(128) }).success).toBe(true);
    expect(newKey.safeParse({ name: '🔑'.repeat(129) }).success).toBe(false);
  });
  test('what is left out has the defaults of the CLI', () => {
    expect(newTenant.parse({ tenant: 'acme' })).toEqual({
      tenant: 'acme',
      limits: null,
      quota: null,
      grants: [],
      default_api: null,
      introspects: [],
      organization: null,
      claims: {},
      token_ttl: 300,
      secret_id_ttl: 0,
      secret_id_num_uses: 0,
      cidrs: [],
      force: false,
    });
  });
});
