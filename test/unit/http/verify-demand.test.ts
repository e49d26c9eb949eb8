import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { Demands } from '#broker/http/verify-demand.ts';

const AUDIENCE = 'https://orders.example.com';
const read = (target: string) => {
  const { audience, scopes } = new Demands().of(target);
  return [audience, ...scopes];
};

describe('what a gateway demands is read from', () => {
  test.each<[string, string[]]>([
    ['/verify?audience=https%3A%2F%2Forders.example.com', [AUDIENCE]],
    ['/verify?audience=https://orders.example.com', [AUDIENCE]],
    ['/verify?audience=https://orders.example.com&scope=read:orders', [AUDIENCE, 'read:orders']],
    ['/verify?scope=write:orders+read:orders&audience=https://orders.example.com', [AUDIENCE, 'read:orders', 'write:orders']],
    ['/verify?audience=a&scope=x%20x%20y', ['a', 'x', 'y']],
    ['http://postern/verify?audience=a', ['a']],
  ])('the query: %s', (target, expected) => {
    expect(read(target)).toEqual(expected);
  });

  test.each<[string, string[]]>([
    ['/verify/audience/https%3A%2F%2Forders.example.com/-/', [AUDIENCE]],
    ['/verify/audience/https%3A%2F%2Forders.example.com/scope/read:orders%20write:orders/-/', [AUDIENCE, 'read:orders', 'write:orders']],
    ['/verify/audience/a/scope/x/-/any/thing?audience=b&scope=', ['a', 'x']],
    ['http://postern/verify/audience/a/-/x', ['a']],
    ['/verify/audience/a%2F-%2Fb/-/x', ['a/-/b']],
  ])('the path, up to its end: %s', (target, expected) => {
    expect(read(target)).toEqual(expected);
  });

  test('each text for itself, though one begins as another', () => {
    const demands = new Demands();
    const scopesOf = (target: string) => demands.of(target).scopes;
    expect(scopesOf('/verify?audience=a')).toEqual([]);
    expect(scopesOf('/verify?audience=a&scope=x')).toEqual(['x']);
    expect(scopesOf('/verify?audience=a&scope=y')).toEqual(['y']);
    expect(scopesOf('/verify/audience/a/-/')).toEqual([]);
    expect(scopesOf('/verify/audience/a/scope/x/-/')).toEqual(['x']);
  });

  test('asks for no scope of the token: one token a tenant and API serves every route', () => {
    expect(new Demands().of('/verify?audience=a&scope=x').request).toEqual({ audience: 'a', scope: undefined, organization: undefined });
  });

  test.each([
    '/verify',
    '/verify?',
    '/verify?audience',
    '/verify?audience=',
    '/verify?scope=x',
    '/verify?audience=a&audience=b',
    '/verify?audience=a&audience=a',
    '/verify?audience=a&scope=x&scope=y',
    '/verify?audience=a&scope=',
    '/verify?audience=a&scope=+',
    '/verify?audience=a&scope=%22',
    '/verify?audience=a&scope=x%0Ay',
    '/verify?audience=a&organization=o',
    '/verify?audience=a&Scope=x',
    '/verify?audience=%',
    '/verify?audience=%00',
    '/verify?audience=a%00b',
    '/verify?audience=a%0Ab',
    '/verify?audience=a b',
    '/verify?audience=%ff',
    '/verify?%61udience=a&audience=b',
    `/verify?audience=${'a'.repeat(1025)}`,
    `/verify?audience=a&scope=${Array.from({ length: 101 }, (_, i) => i).join('+')}`,
    '/verify/',
    '/verify/-/',
    '/verify/audience/-/',
    '/verify/audience//-/',
    '/verify/audience/a',
    '/verify/audience/a/',
    '/verify/audience/a/-',
    '/verify/audience/a/-?x',
    '/verify/audience/a/-*',
    '/verify/audience/a/scope/-/',
    '/verify/audience/a/scope//-/',
    '/verify/audience/a/scope/%20/-/',
    '/verify/audience/a/scope/x/scope/y/-/',
    '/verify/scope/x/-/',
    '/verify/audience/a/audience/b/-/',
    '/verify/audience/%/-/',
    '/verify/audience/%ff/-/',
    '/verify/audience/%00/-/',
    '/verify/audience/a?b/-/',
    '/verify/audience/a#b/-/',
    '/verify/audience/a/../audience/b/-/',
    '/verify//audience/a/-/',
    '/verify/Audience/a/-/',
    '/verify/audience/a/organization/o/-/',
    '/verify/?audience=a',
    '/verify/audience/a/-%2Fx',
  ])('%s is refused', (target) => {
    expect(() => read(target)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});

test('10,000 things that a client may append: the demand stays what the gateway wrote', () => {
  const demands = new Demands();
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '..',
      '.',
      '//',
      '/-/',
      '-',
      '%2e%2e',
      '%2F',
      '?',
      '#',
      '&',
      '=',
      'audience',
      'scope',
      '/audience/evil',
      '/scope/',
      'audience=evil',
      '/verify',
      '\\',
      ';',
      '%00',
      '%5c',
      ':',
      '*',
    ),
    fc.string({ maxLength: 8 }),
  );
  const appended = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(appended, (client) => {
      expect(demands.of(`/verify/audience/a/scope/x/-/${client}`)).toMatchObject({ audience: 'a', scopes: ['x'] });
    }),
    { numRuns: 10_000, seed: 5 },
  );
});

test('10,000 targets: a demand or invalid_request, and nothing else', () => {
  const demands = new Demands();
  const piece = fc.oneof(
    fc.constantFrom('/verify', '/verify/', '?', '&', 'audience', 'scope', '=', '/-/', '%', '%41', 'a', ' ', '+', '/', 'http://x'),
    fc.string({ maxLength: 6 }),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join('')),
      (target) => {
        try {
          expect(demands.of(target).audience).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(PosternError);
          expect((error as PosternError).code).toBe('invalid_request');
        }
      },
    ),
    { numRuns: 10_000, seed: 6 },
  );
});

test('what clients of an Envoy append costs no memory: they share one demand', () => {
  const demands = new Demands();
  const first = demands.of('/verify/audience/a/-/0');
  for (let i = 1; i < 5_000; i++) expect(demands.of(`/verify/audience/a/-/${i}`)).toBe(first);
});
