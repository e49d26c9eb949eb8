import { describe, expect, test, vi } from 'vitest';
import { SubjectToken } from '#broker/credential/subject-token.ts';
import { SubjectTokens, badSubject } from '#broker/credential/subject-tokens.ts';
import { Throttle } from '#broker/credential/throttle.ts';
import { Turnstile } from '#broker/credential/turnstile.ts';
import { PosternError } from '#broker/error.ts';
import { Clock } from './clock.ts';
import { identityOf } from './identity.ts';

const ADDRESS = '192.0.2.1';
const tokenOf = (text: string): SubjectToken => SubjectToken.of(text)!;

function stage() {
  const good = new Set(['good-1', 'good-2']);
  const lookUp = vi.fn(async (token: SubjectToken) => {
    if (!good.has(token.reveal())) throw badSubject('The subject_token is not good');
    return identityOf({});
  });
  const clock = new Clock();
  const subjects = new SubjectTokens({ lookUp }, new Throttle({ perClient: 10, perAddress: 100, now: clock.monotonic }));
  const verify = (text: string, address = ADDRESS) =>
    subjects.verify(tokenOf(text), address).then(
      () => 'good',
      (error: unknown) => (error instanceof PosternError ? error.code : String(error)),
    );
  return { good, lookUp, verify };
}

describe('bad tokens', () => {
  test('101 of them from one address hold back further ones there, and no token that was good before', async () => {
    const { lookUp, verify } = stage();
    expect(await verify('good-1')).toBe('good');
    for (let n = 0; n < 200; n++) await verify(`bad-${n}`);
    expect(lookUp).toHaveBeenCalledTimes(101);
    expect([await verify('bad-200'), await verify('good-1'), await verify('good-2', '192.0.2.2')]).toEqual([
      'too_many_requests',
      'good',
      'good',
    ]);
  });

  test('one of them a thousand times uses up its own allowance alone', async () => {
    const { lookUp, verify } = stage();
    for (let n = 0; n < 1000; n++) await verify('bad');
    expect(lookUp).toHaveBeenCalledTimes(10);
    expect(await verify('good-1')).toBe('good');
  });

  test('one that was good and is revoked counts as bad from then on', async () => {
    const { good, lookUp, verify } = stage();
    expect(await verify('good-1')).toBe('good');
    good.delete('good-1');
    for (let n = 0; n < 1000; n++) await verify('good-1');
    expect(lookUp).toHaveBeenCalledTimes(12);
  });
});

test('each exchange asks Vault', async () => {
  const { lookUp, verify } = stage();
  for (let n = 0; n < 5; n++) await verify('good-1');
  expect(lookUp).toHaveBeenCalledTimes(5);
});

test('a JWT is no Vault token: Vault has no better answer to one than that it failed', () => {
  const jwts = ['{"alg":"RS256"}', '{ "alg":"RS256"}', '{\n"alg":"RS256"}', ' {"alg":"RS256"}', '\t\n{}'].flatMap((header) => [
    `${Buffer.from(header).toString('base64url')}.e30.AAAA`,
    `${Buffer.from(header).toString('base64')}.e30.`,
  ]);
  for (const text of jwts) expect(SubjectToken.of(text)).toBeUndefined();
  for (const text of ['hvs.CAESIJ', 'hvb.AAAA', 's.abc.de', 'eyJroot', 'root']) expect(SubjectToken.of(text)?.reveal()).toBe(text);
});

test('those that were good before pass a turnstile: one client’s don’t take every way to Vault', async () => {
  const atVault = { now: 0, most: 0 };
  const lookUp = async () => {
    atVault.most = Math.max(atVault.most, ++atVault.now);
    await new Promise((resolve) => setImmediate(resolve));
    atVault.now--;
    return identityOf({});
  };
  const subjects = new SubjectTokens({ lookUp }, new Throttle(), new Turnstile({ atOnce: 3 }));
  const token = tokenOf('good-1');
  await subjects.verify(token, ADDRESS);
  await Promise.all(Array.from({ length: 50 }, () => subjects.verify(token, ADDRESS)));
  expect(atVault.most).toBe(3);
});
