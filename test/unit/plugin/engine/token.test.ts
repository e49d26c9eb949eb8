import { beforeAll, describe, expect, test } from 'vitest';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { refusal, stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

const GRANT = 'g'.repeat(43);
const DOCUMENT = {
  grant: GRANT,
  access_token: 'header.payload.signature',
  token_type: 'Bearer',
  scope: '',
  issued_at: 1_900_000_000,
  expires_at: 1_900_086_400,
};

describe('tokens', () => {
  test('the document goes in whole, comes back with its version, and is listed', async () => {
    await using s = await stage(key);
    expect(await s.call('read', 'tokens/acme/orders')).toBeUndefined();
    const written = await s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT });
    const narrow = await s.write(`tokens/acme/orders/${GRANT}`, {
      cas: '0',
      ...DOCUMENT,
      scope: 'read:orders',
      lease: '{"holder":"a","until":1,"paused":true}',
    });
    expect(await s.read('tokens/acme/orders')).toEqual({ ...DOCUMENT, version: written?.data?.['version'] });
    expect(await s.read(`tokens/acme/orders/${GRANT}`)).toEqual({
      ...DOCUMENT,
      scope: 'read:orders',
      lease: { holder: 'a', until: 1, paused: true },
      version: narrow?.data?.['version'],
    });
    expect(await s.call('list', 'tokens/')).toEqual({ data: { keys: ['acme'] } });
    expect(await s.call('list', 'tokens/acme/')).toEqual({ data: { keys: ['orders'] } });
    expect([...s.storage.entries].map(([path, { sealWrap }]) => [path, sealWrap])).toEqual([
      ['tokens/acme/orders/whole', true],
      [`tokens/acme/orders/${GRANT}`, true],
    ]);
    // Whole, and not merged with what was there.
    await s.write('tokens/acme/orders', { cas: written?.data?.['version'], grant: GRANT });
    expect(await s.read('tokens/acme/orders')).toEqual({ grant: GRANT, version: expect.any(Number) });
  });

  test('of 50 who saw the same version, one wins; the others are told 409', async () => {
    await using s = await stage(key);
    s.storage.delayMs = 1;
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) => s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT, scope: String(index) })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refused = await refusal(() => s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT }));
    expect(refused).toEqual({ status: 409, message: 'check-and-set: another version is there now' });
  });

  test('a version never comes back, not after a deletion either', async () => {
    await using s = await stage(key);
    const first = await s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT });
    await s.call('delete', 'tokens/acme/orders');
    expect((await refusal(() => s.write('tokens/acme/orders', { cas: first?.data?.['version'], ...DOCUMENT }))).status).toBe(409);
    s.clock.offset = 5;
    const second = await s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT });
    expect(Number(second?.data?.['version'])).toBeGreaterThan(Number(first?.data?.['version']));
  });

  test.each([
    [{ ...DOCUMENT }, /cas is required/],
    [{ cas: 0 }, /grant is required/],
    [{ cas: -1, ...DOCUMENT }, /cas must be from 0/],
    [{ cas: 1.5, ...DOCUMENT }, /cas must be a whole number/],
    [{ cas: 0, ...DOCUMENT, grant: '../acme' }, /grant must be a SHA-256/],
    [{ cas: 0, ...DOCUMENT, lease: { holder: 'a' } }, /lease.until/],
    [{ cas: 0, ...DOCUMENT, scope: 7 }, /scope/],
    [{ cas: 0, ...DOCUMENT, asked: true }, /"asked" is not a field here/],
    [{ cas: 0, ...DOCUMENT, token_type: 'DPoP' }, /token_type must be one of Bearer/],
  ])('%j is a 400', async (data, message) => {
    await using s = await stage(key);
    expect(await refusal(() => s.write('tokens/acme/orders', data))).toEqual({ status: 400, message: expect.stringMatching(message) });
    expect(s.storage.entries.size).toBe(0);
  });

  test.each([
    'tokens/ACME/orders',
    'tokens/acme/..',
    'tokens/acme/orders/whole',
    'tokens/acme/orders/..',
    `tokens/acme/orders/${'g'.repeat(42)}`,
    `tokens/acme/orders/${'g'.repeat(42)}.`,
  ])('%s is not a place', async (path) => {
    await using s = await stage(key);
    expect((await refusal(() => s.write(path, { cas: 0, ...DOCUMENT }))).status).toBe(400);
    expect(s.storage.calls).toEqual([]);
  });

  test('it is apart from what creds keeps', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.write('tokens/acme/orders', { cas: 0, ...DOCUMENT });
    expect((await s.read('creds/acme'))['access_token']).not.toBe(DOCUMENT.access_token);
    await s.call('delete', 'creds/acme');
    expect((await s.read('tokens/acme/orders'))['access_token']).toBe(DOCUMENT.access_token);
  });
});
