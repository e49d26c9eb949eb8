import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { checkKeyName, keyViewOf, pageOfKeys, pickKey } from '#broker/operator/key/list.ts';
import type { StoredSecretId } from '#broker/operator/secret/secret-id.ts';
import type { Rotations } from '#broker/vault/key-ends.ts';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const id = (n: number): string => `key_${String(n).padStart(24, '0')}`;
const accessorOf = (n: number): string => `00000000-0000-0000-0000-${String(n).padStart(12, '0')}`;

function stored(n: number, metadata: Record<string, unknown> = {}, expiresAt: string | null = null): StoredSecretId {
  return {
    view: {
      tenant: 'acme',
      accessor: accessorOf(n),
      name: 'web',
      issued_by: 'olivia',
      created_at: '2026-11-24T09:00:00.000Z',
      expires_at: expiresAt,
      uses_left: null,
      cidrs: [],
    },
    metadata: { key_id: id(n), environment: 'live', ...metadata },
  };
}

const rotation = (n: number, by: number, until: number | null): Rotations[number] => ({
  key_id: id(n),
  accessor: accessorOf(n),
  new_key_id: id(by),
  until,
});
const inSeconds = (seconds: number): number => NOW / 1000 + seconds;
const iso = (seconds: number): string => new Date(NOW + seconds * 1000).toISOString();

describe('the state of a key', () => {
  test.each<[string, StoredSecretId, Rotations, object]>([
    ['alone', stored(1), [], { state: 'active', expires_at: null, replaced_by: null }],
    ['with an end to come', stored(1, {}, iso(60)), [], { state: 'active', expires_at: iso(60) }],
    ['with an end that has come, before Vault tidied up', stored(1, {}, iso(0)), [], { state: 'ended' }],
    ['replaced', stored(1), [rotation(1, 2, inSeconds(60))], { state: 'ending', expires_at: iso(60), replaced_by: id(2) }],
    [
      'replaced, with an end of its own before that',
      stored(1, {}, iso(30)),
      [rotation(1, 2, inSeconds(60))],
      { state: 'ending', expires_at: iso(30) },
    ],
    ['replaced, and past its end', stored(1), [rotation(1, 2, inSeconds(-1))], { state: 'ended' }],
    [
      'about to be replaced, by a run that was interrupted',
      stored(1),
      [rotation(1, 2, null)],
      { state: 'active', replaced_by: null, expires_at: null },
    ],
    ['new, and not known to be shown', stored(2, { replaces: id(1) }), [rotation(1, 2, null)], { state: 'unconfirmed', replaces: id(1) }],
    ['new, and shown', stored(2, { replaces: id(1) }), [rotation(1, 2, inSeconds(60))], { state: 'active', replaces: id(1) }],
    ['new, of a run that another overtook', stored(2, { replaces: id(1) }), [rotation(1, 3, inSeconds(60))], { state: 'unconfirmed' }],
    ['new, after the old one is gone', stored(2, { replaces: id(1) }), [], { state: 'active' }],
    ["another key's rotation", stored(5), [rotation(1, 2, inSeconds(-1))], { state: 'active' }],
  ])('%s', (_what, secret, rotations, expected) => {
    expect(keyViewOf(secret, rotations, NOW)).toMatchObject(expected);
  });

  test.each([[{ key_id: undefined }], [{ key_id: 'x' }], [{ key_id: ['a'] }]])('a secret_id with %j is not a key', (metadata) => {
    expect(keyViewOf(stored(1, metadata), [], NOW)).toBeUndefined();
  });

  test('scopes are told as a list, and none as all', () => {
    expect(keyViewOf(stored(1, { scopes: 'a b' }), [], NOW)?.scopes).toEqual(['a', 'b']);
    expect(keyViewOf(stored(1), [], NOW)?.scopes).toBeNull();
  });
});

test('a key is found by its id or its accessor', () => {
  const keys = [1, 2].map((n) => keyViewOf(stored(n), [], NOW)!);
  expect(pickKey(keys, 'acme', id(2)).accessor).toBe(accessorOf(2));
  expect(pickKey(keys, 'acme', accessorOf(1)).key_id).toBe(id(1));
  expect(() => pickKey(keys, 'acme', id(3))).toThrowError(expect.objectContaining({ code: 'not_found' }));
});

test('what is not the name of a key is refused without being repeated', () => {
  const canary = 'postern_live_canary';
  for (const which of [canary, '', `${id(1)} `, `${id(1)}\n`, id(1).toUpperCase(), '../x']) {
    try {
      checkKeyName(which);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_request' });
      expect(inspect(error)).not.toContain(canary);
    }
  }
  checkKeyName(id(1));
  checkKeyName(accessorOf(1));
});

describe('a list in pages', () => {
  const keys = [1, 2, 3, 4, 5].map((n) => keyViewOf(stored(n), [], NOW)!);
  const idsOf = (page: ReturnType<typeof pageOfKeys>): string[] => page.keys.map(({ key_id: keyId }) => keyId);

  test('goes on after the last key of the page before, to the end, and says where', () => {
    const seen: string[][] = [];
    for (let after: string | undefined, more = true; more;) {
      const page = pageOfKeys(keys, { limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(idsOf(page));
      after = page.next;
      more = after !== undefined;
    }
    expect(seen).toEqual([[id(1), id(2)], [id(3), id(4)], [id(5)]]);
  });

  test('has all of them where no limit is given, and none after the last one', () => {
    expect(pageOfKeys(keys, {})).toEqual({ keys, next: undefined });
    expect(pageOfKeys(keys, { after: id(5), limit: 2 })).toEqual({ keys: [], next: undefined });
    expect(pageOfKeys(keys, { limit: 5 }).next).toBe(undefined);
  });

  test('a key that has gone is no place to go on from', () => {
    expect(() => pageOfKeys(keys, { after: id(9) })).toThrow('not in it (any more)');
  });
});
