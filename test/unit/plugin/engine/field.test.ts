import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { choice, duration, flag, integer, json, list, map, text } from '#broker/plugin/engine/field.ts';
import { Input, InputFault } from '#broker/plugin/engine/input.ts';

const fields = {
  word: text('A word.', { max: 8 }),
  kind: choice('A kind.', ['one', 'two']).optional(),
  on: flag('A switch.').optional(),
  count: integer('A number.', { min: 0, max: 10 }).optional(),
  life: duration('A time.', { max: 100_000 }).optional(),
  names: list('Names.', { item: [/^[a-z]+$/, 'must be a name'] }).optional(),
  claims: map('Claims.', z.record(z.string(), z.string())).optional(),
  lease: json('A lease.', z.strictObject({ until: z.number() })).optional(),
};
const input = new Input(fields);
const faultOf = (data: Record<string, unknown>, creating = false): string => {
  try {
    input.parse(data, creating);
  } catch (error) {
    if (error instanceof InputFault) return error.message;
    throw error;
  }
  return '';
};

describe("what Vault's CLI and API send becomes a typed value", () => {
  test.each<[string, unknown, unknown]>([
    ['on', 'true', true],
    ['on', 'T', true],
    ['on', 1, true],
    ['on', '0', false],
    ['on', 'FALSE', false],
    ['count', '7', 7],
    ['count', 7, 7],
    ['life', '90', 90],
    ['life', 90, 90],
    ['life', '15m', 900],
    ['life', '1h30m', 5_400],
    ['life', '1d', 86_400],
    ['names', 'a, b,a,', ['a', 'b']],
    ['names', '["a","b"]', ['a', 'b']],
    ['names', ['a', 'b', 'a'], ['a', 'b']],
    ['names', '', []],
    ['claims', 'a=b', { a: 'b' }],
    ['claims', ['a=b', 'c=d=e'], { a: 'b', c: 'd=e' }],
    ['claims', '{"a":"b"}', { a: 'b' }],
    ['claims', { a: 'b' }, { a: 'b' }],
    ['lease', '{"until":1}', { until: 1 }],
    ['lease', { until: 1 }, { until: 1 }],
  ])('%s=%j', (name, given, value) => expect(input.parse({ [name]: given }, false)).toEqual({ [name]: value }));

  test('null is kept, for the field to go back to its default', () => {
    expect(input.parse({ word: 'x', on: null }, true)).toEqual({ word: 'x', on: null });
  });
});

describe('what is wrong is said in a sentence', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ word: '' }, 'word must not be empty'],
    [{ word: 'canary-secret' }, 'word must have at most 8 characters'],
    [{ word: ['a'] }, 'word must be given once'],
    [{ word: 7 }, 'word must be text'],
    [{ word: 'a\nb' }, 'word must have no control characters'],
    [{ kind: 'three' }, 'kind must be one of one, two'],
    [{ on: 'yes' }, 'on must be true or false'],
    [{ on: 2 }, 'on must be true or false'],
    [{ count: '1.5' }, 'count must be a whole number'],
    [{ count: 11 }, 'count must be from 0 to 10'],
    [{ life: '1w' }, 'life must be a duration: seconds, or for example 15m or 1h30m'],
    [{ life: -1 }, 'life must be from 0 to 100000'],
    [{ names: 7 }, 'names must be a list, or text separated by commas'],
    [{ names: '[' }, 'names must be a list, or text separated by commas'],
    [{ names: ['a', 'B'] }, 'names.1 must be a name'],
    [{ claims: 'a' }, 'claims must be an object, or key=value'],
    [{ claims: [7] }, 'claims must be an object, or key=value'],
    [{ claims: { a: 7 } }, 'claims.a must be text'],
    [{ lease: '{' }, 'lease is not JSON'],
    [{ lease: {} }, 'lease.until must be a number'],
    [{ lease: { until: 1, x: 1 } }, 'lease must not have "x"'],
    [{ wordd: 'x' }, '"wordd" is not a field here (word, kind, on, count, life, names, claims, lease)'],
    [{ wordd: null }, '"wordd" is not a field here (word, kind, on, count, life, names, claims, lease)'],
    [
      { on: 'x', wordd: 1, word: 7 },
      'on must be true or false; "wordd" is not a field here (word, kind, on, count, life, names, claims, lease); word must be text',
    ],
  ])('%j', (data, said) => expect(faultOf(data)).toBe(said));

  test('a field that is required is missed when an entry is created, not when it is changed', () => {
    expect(faultOf({ on: true }, true)).toBe('word is required');
    expect(faultOf({ word: null }, true)).toBe('word is required');
    expect(faultOf({ on: 'x' }, true)).toBe('on must be true or false; word is required');
    expect(faultOf({ on: true })).toBe('');
    expect(faultOf({}, true)).toBe('word is required');
  });

  test('ten faults are enough', () => {
    const said = faultOf(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, 1])));
    expect(said.split('; ')).toHaveLength(10);
  });
});
