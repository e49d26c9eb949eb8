import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { API_KEY, ApiKey } from '#broker/credential/api-key.ts';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** As in docs/api-keys.md. Both ids are invented. */
const SAMPLE = {
  text: 'postern_live_0Gj7PHcTWolMMAoH3h6LnAFcoBY51Zo59b2RTGFOmMC1KIguD',
  roleId: '01234567-89ab-cdef-0123-456789abcdef',
  secretId: 'fedcba98-7654-3210-fedc-ba9876543210',
};

/** 16 bytes as go-uuid writes them, whatever their version bits. */
function anyUuid(): string {
  return randomBytes(16)
    .toString('hex')
    .replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function base62(value: bigint, length: number): string {
  let text = '';
  for (let left = value; text.length < length; left /= 62n) text = DIGITS[Number(left % 62n)]! + text;
  return text;
}

function sealed(text: string): string {
  return text + base62(BigInt(crc32(text)), 6);
}

describe('format and parse', () => {
  test('the sample of the document is what it says', () => {
    expect(ApiKey.format('live', SAMPLE.roleId, SAMPLE.secretId)).toBe(SAMPLE.text);
    const key = ApiKey.parse(SAMPLE.text)!;
    expect([key.environment, key.credential.clientId, key.credential.reveal()]).toEqual(['live', SAMPLE.roleId, SAMPLE.secretId]);
  });

  test('5,000 random credentials come back as they were, each from one text of the documented form', () => {
    for (let n = 0; n < 5000; n++) {
      const [roleId, secretId] = n % 2 ? [randomUUID(), randomUUID()] : [anyUuid(), anyUuid()];
      const environment = ['live', 'test', 'a', '0', 'x'.repeat(16)][n % 5]!;
      const text = ApiKey.format(environment, roleId, secretId);
      expect(text).toMatch(API_KEY);
      const key = ApiKey.parse(text);
      if (key?.environment !== environment || key.credential.clientId !== roleId || key.credential.reveal() !== secretId)
        throw new Error(`credential ${n} came back differently`);
    }
  });

  test('the ends of the range', () => {
    const zeros = '00000000-0000-0000-0000-000000000000';
    const ones = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    for (const [roleId, secretId] of [
      [zeros, zeros],
      [ones, ones],
      [zeros, ones],
      [ones, zeros],
    ] as const) {
      const key = ApiKey.parse(ApiKey.format('live', roleId, secretId))!;
      expect([key.credential.clientId, key.credential.reveal()]).toEqual([roleId, secretId]);
    }
  });

  test('ids that somebody chose, and other environments, have no key; what was given is not repeated', () => {
    const canary = 'hunter2-hunter2';
    for (const make of [
      () => ApiKey.format('live', canary, randomUUID()),
      () => ApiKey.format('live', randomUUID().toUpperCase(), randomUUID()),
      () => ApiKey.format('live', randomUUID(), canary),
      () => ApiKey.format('live', randomUUID(), ` ${randomUUID()}`),
      () => ApiKey.format('Live', randomUUID(), randomUUID()),
      () => ApiKey.format('', randomUUID(), randomUUID()),
      () => ApiKey.format('x'.repeat(17), randomUUID(), randomUUID()),
      () => ApiKey.format('a_b', randomUUID(), randomUUID()),
    ]) {
      try {
        make();
        expect.unreachable();
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_request' });
        expect(inspect(error)).not.toContain(canary);
      }
    }
  });
});

describe('refused offline', () => {
  const text = SAMPLE.text;

  test('every single mistyped character', () => {
    for (let at = 0; at < text.length; at++) {
      for (const digit of `${DIGITS}_- .`)
        if (digit !== text[at]) expect(ApiKey.parse(text.slice(0, at) + digit + text.slice(at + 1))).toBeUndefined();
    }
  });

  test('two neighbours exchanged; a character lost; one too many', () => {
    for (let at = 0; at < text.length; at++) {
      if (at + 1 < text.length && text[at] !== text[at + 1])
        expect(ApiKey.parse(text.slice(0, at) + text[at + 1] + text[at] + text.slice(at + 2))).toBeUndefined();
      expect(ApiKey.parse(text.slice(0, at) + text.slice(at + 1))).toBeUndefined();
      expect(ApiKey.parse(text.slice(0, at) + text[at] + text.slice(at))).toBeUndefined();
    }
  });

  test('50,000 keys with a random checksum', () => {
    const keys = Array.from({ length: 500 }, () => ApiKey.format('live', anyUuid(), anyUuid()));
    let taken = 0;
    for (let n = 0; n < 50_000; n++) {
      const right = keys[n % keys.length]!;
      const wrong = right.slice(0, -6) + Array.from({ length: 6 }, () => DIGITS[randomInt(62)]).join('');
      if (wrong !== right && ApiKey.parse(wrong) !== undefined) taken++;
    }
    expect(taken).toBe(0);
  });

  test('a number that is not 256 bits, even where its checksum is right', () => {
    for (const number of [1n << 256n, (1n << 256n) + 1n, 62n ** 43n - 1n])
      expect(ApiKey.parse(sealed(`postern_live_${base62(number, 43)}`))).toBeUndefined();
    expect(ApiKey.parse(sealed(`postern_live_${base62((1n << 256n) - 1n, 43)}`))).toBeDefined();
  });

  test.each([
    ['nothing', ''],
    ['padding before', ` ${text}`],
    ['padding after', `${text} `],
    ['a line end', `${text}\n`],
    ['a NUL', `${text}\0`],
    ['another prefix', sealed(text.slice(0, -6).replace('postern', 'Postern'))],
    ['an environment in upper case', sealed(text.slice(0, -6).replace('live', 'LIVE'))],
    ['an environment with _', sealed(text.slice(0, -6).replace('live', 'li_ve'))],
    ['no environment', sealed(text.slice(0, -6).replace('_live', ''))],
    ['an empty environment', sealed(text.slice(0, -6).replace('live', ''))],
    ['an environment of 17 characters', sealed(text.slice(0, -6).replace('live', 'x'.repeat(17)))],
    ['base64url', sealed(`postern_live_${'-'.repeat(43)}`)],
    ['a digit of another script', text.replace(/.$/, '٣')],
    ['a full-width letter', text.replace('live', 'ｌive')],
    ['much', text.repeat(10_000)],
  ])('%s', (_what, wrong) => {
    expect(wrong).not.toBe(text);
    expect(ApiKey.parse(wrong)).toBeUndefined();
  });
});

test('a key prints without its secret', () => {
  const key = ApiKey.parse(SAMPLE.text)!;
  for (const shown of [String(key), JSON.stringify({ key }), inspect({ key }, { depth: 9, showHidden: true })]) {
    expect(shown).not.toContain(SAMPLE.secretId);
    expect(shown).not.toContain(SAMPLE.text.slice(13));
  }
});

test('parsing costs next to nothing beside an exchange', () => {
  const keys = Array.from({ length: 100 }, () => ApiKey.format('live', anyUuid(), anyUuid()));
  let best = Infinity;
  for (let round = 0; round < 200; round++) {
    const start = performance.now();
    for (const key of keys) ApiKey.parse(key);
    best = Math.min(best, (performance.now() - start) / keys.length);
  }
  // Measured 1.4 µs; the limit leaves room for a busy machine.
  expect(best * 1000).toBeLessThan(20);
});
