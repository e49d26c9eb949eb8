import { expect, test } from 'vitest';
import { sharedText, sharedValue } from '#broker/shared.ts';

test('what is equal is one, and nobody can change it for the others', () => {
  const document = () => ({ grants: [{ api: 'orders', scopes: ['read:all'] }], organization: null });
  const one = sharedValue(document());
  expect(sharedValue(document())).toBe(one);
  expect(one).toEqual(document());
  expect(() => one.grants[0]?.scopes.push('write:all')).toThrow(TypeError);
  expect(() => Object.assign(one, { organization: 'org_other' })).toThrow(TypeError);
});

test.each([
  [{ a: ['x y'] }, { a: ['x', 'y'] }],
  [{ a: '1' }, { a: 1 }],
  [{ a: { b: 'c' } }, { a: ['b', 'c'] }],
  [['a'], { 0: 'a' }],
])('what differs is not: %j and %j', (one, other) => {
  expect(sharedValue<object>(structuredClone(one))).toEqual(one);
  expect(sharedValue<object>(structuredClone(other))).toEqual(other);
});

test('of many different ones the memory holds few, and none that is long', () => {
  const first = sharedValue({ name: 'first' });
  for (let n = 0; n < 2_000; n++) expect(sharedValue({ n })).toEqual({ n });
  expect(sharedValue({ name: 'first' })).not.toBe(first);
  const long = () => ['x'.repeat(5_000)];
  expect(sharedValue(long())).not.toBe(sharedValue(long()));
  expect(sharedValue(long())).toEqual(long());
  expect(sharedText('x'.repeat(5_000))).toBe('x'.repeat(5_000));
});

test('a member that is undefined is as good as none: a document without its client_id is the same whoever it was of', () => {
  const document = { of: 'two tenants', disabled: false };
  const one = sharedValue<object>({ ...document, client_id: undefined });
  expect(sharedValue<object>({ ...document })).toBe(one);
});
