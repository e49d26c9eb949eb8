import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppRoleCredential, FingerprintKey } from '#broker/credential/approle.ts';
import { NAME, VaultToken } from '#broker/credential/identity.ts';
import { credentialOf } from './credential.ts';

const ROLE = '8f1c9a52-1c5e-4f0e-9f6a-3a0a51d5f0aa';
const SECRET = 'canary-secret-3e1d0a7c';

describe('a credential never prints its secret', () => {
  const credential = credentialOf(ROLE, SECRET);
  test.each<[string, () => string]>([
    ['inspect', () => inspect(credential)],
    ['inspect with everything shown', () => inspect(credential, { showHidden: true, depth: Infinity, getters: true })],
    ['inspect inside another object', () => inspect({ a: [{ credential }] }, { depth: Infinity })],
    ['JSON', () => JSON.stringify({ credential })],
    ['String', () => String(credential)],
    ['template', () => `of ${String(credential)}`],
    ['join', () => [credential, credential].join('')],
    [
      'own properties',
      () => JSON.stringify(Object.getOwnPropertyNames(credential).map((n) => (credential as unknown as Record<string, unknown>)[n])),
    ],
    ['Object.assign', () => inspect(Object.assign({}, credential))],
  ])('%s', (_how, print) => {
    expect(print()).not.toContain(SECRET);
  });

  test('and it still hands the secret to the one who asks', () => {
    expect(credential.reveal()).toBe(SECRET);
    expect(String(credential)).toContain(ROLE);
  });
});

test('a Vault token never prints', () => {
  const token = new VaultToken('hvb.canary');
  for (const text of [inspect(token, { showHidden: true }), JSON.stringify({ token }), String(token), [token].join('')]) {
    expect(text).not.toContain('canary');
  }
  expect(token.reveal()).toBe('hvb.canary');
});

describe('what cannot be a credential is refused before it costs Vault a call', () => {
  // Vault trims white space round a role_id: a padded variant would be the same role under another key.
  test.each([
    ['space before', ' role', 's'],
    ['space after', 'role ', 's'],
    ['tab', 'role\t', 's'],
    ['line feed', 'role\n', 's'],
    ['carriage return', 'role\r', 's'],
    ['vertical tab', 'role\u000b', 's'],
    ['no-break space', 'role\u00a0', 's'],
    ['ideographic space', '\u3000role', 's'],
    ['byte order mark', '\ufeffrole', 's'],
    ['NUL', 'role\0', 's'],
    ['empty id', '', 's'],
    ['id of 129', 'r'.repeat(129), 's'],
    ['slash', 'a/b', 's'],
    ['not ASCII', 'rölé', 's'],
    ['full-width letters', '\uff52ole', 's'],
    ['lone surrogate', '\ud800', 's'],
    ['empty secret', 'role', ''],
    ['secret padded', 'role', ' s'],
    ['secret with line feed after', 'role', 's\n'],
    ['secret not ASCII', 'role', 'sécret'],
    ['secret with NUL', 'role', 's\0'],
    ['secret of 513', 'role', 's'.repeat(513)],
  ])('%s', (_fault, id, secret) => {
    expect(AppRoleCredential.of(id, secret)).toBeUndefined();
  });

  test('the longest and oddest that may be', () => {
    expect(AppRoleCredential.of('r'.repeat(128), 's'.repeat(512))).toBeDefined();
    expect(AppRoleCredential.of('A-z_0.9~', '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~')).toBeDefined();
  });
});

describe('a fingerprint', () => {
  const key = new FingerprintKey();

  test('depends on id and secret, and on the address only when one is given', () => {
    const one = credentialOf('role', 'secret');
    expect(one.fingerprint(key, '')).toBe(credentialOf('role', 'secret').fingerprint(key, ''));
    expect(one.fingerprint(key, '')).not.toBe(credentialOf('role', 'secreu').fingerprint(key, ''));
    expect(one.fingerprint(key, '')).not.toBe(credentialOf('rolf', 'secret').fingerprint(key, ''));
    expect(one.fingerprint(key, '192.0.2.1')).not.toBe(one.fingerprint(key, '192.0.2.2'));
    expect(one.fingerprint(key, '192.0.2.1')).not.toBe(one.fingerprint(key, ''));
  });

  test('means nothing to another process, and holds neither part', () => {
    const one = credentialOf('role', 'secret');
    const print = one.fingerprint(key, '');
    expect(print).not.toBe(one.fingerprint(new FingerprintKey(), ''));
    expect(print).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(inspect(key, { showHidden: true, depth: 9 })).not.toMatch(/[0-9a-f]{32}/);
  });

  test('is the SHA-256 of key and text: held against node:crypto, at every length round a block', () => {
    const secret = Buffer.alloc(32, 'k');
    const own = new FingerprintKey(secret);
    for (const length of [0, 1, 22, 23, 24, 31, 32, 33, 95, 96, 97, 700, 1024, 3]) {
      const text = 'x!~'.repeat(400).slice(0, length);
      expect(own.digest(text)).toBe(createHash('sha256').update(secret).update(text).digest('base64url'));
    }
    expect(() => key.digest('x'.repeat(1025))).toThrow(RangeError);
  });

  test.each([0, 31, 33])('needs a key of 32 bytes: with one of %i two could make one text', (bytes) => {
    expect(() => new FingerprintKey(Buffer.alloc(bytes))).toThrow(RangeError);
  });

  test('the longest credential that may be has one', () => {
    expect(
      credentialOf('r'.repeat(128), 's'.repeat(512)).fingerprint(key, 'ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%enp0s31f6'),
    ).toHaveLength(43);
  });

  test('its parts cannot run into each other', () => {
    const id = fc.stringMatching(/^[A-Za-z0-9._~-]{1,12}$/);
    const secret = fc.stringMatching(/^[\x21-\x7e]{1,12}$/);
    const address = fc.constantFrom('', '192.0.2.1', '2001:db8::1', '::1');
    const triple = fc.tuple(id, address, secret);
    fc.assert(
      fc.property(triple, triple, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        return (credentialOf(a[0], a[2]).fingerprint(key, a[1]) === credentialOf(b[0], b[2]).fingerprint(key, b[1])) === same;
      }),
      { numRuns: 500 },
    );
    // The neighbours that a careless join would mix up.
    expect(credentialOf('ab', 'c').fingerprint(key, '')).not.toBe(credentialOf('a', 'bc').fingerprint(key, ''));
  });
});

test('no name that Vault would read as more than one path segment', () => {
  for (const name of ['a', 'acme', 'a-b-c', 'a'.repeat(63), '0']) expect(name).toMatch(NAME);
  for (const name of ['', '-a', 'a-', 'A', 'a.b', '..', '.', 'a/b', 'a*', 'a+', 'a\n', 'a_b', 'ä', 'a'.repeat(64), 'a%2eb', ' a', 'a\0'])
    expect(name).not.toMatch(NAME);
});
