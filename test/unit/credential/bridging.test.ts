import { describe, expect, test } from 'vitest';
import type { Identity } from '#broker/credential/identity.ts';
import { VerifiedCredentials, wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import type { Unasked } from '#broker/error.ts';
import { Turnstile } from '#broker/credential/turnstile.ts';
import { Clock, deferred } from './clock.ts';
import { credentialOf } from './credential.ts';
import { identityOf } from './identity.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ADDRESS = '192.0.2.1';
const GOOD = credentialOf('acme-role-id', 'right-secret');
const HOUR = 3_600_000;

/** A Vault that answers as `vault` says, and counts. */
function stage({ graceMs = HOUR, behind = 0, identity = {} }: { graceMs?: number; behind?: number; identity?: Partial<Identity> } = {}) {
  const clock = new Clock();
  const vault = { says: 'yes' as 'yes' | Error, takes: 0, away: false, mayTry: false, hears: true, asked: 0 };
  const turnstile = new Turnstile({ atOnce: 1, now: clock.monotonic });
  const verified = new VerifiedCredentials({
    turnstile,
    now: clock.now,
    monotonic: clock.monotonic,
    bridging: {
      graceMs,
      away: () => vault.away,
      mayTry: () => !vault.away || vault.mayTry,
      hears: () => vault.hears,
      behind: () => behind,
    },
    login: {
      login: async () => {
        vault.asked++;
        clock.advance(vault.takes);
        if (vault.says !== 'yes') throw vault.says;
        return identityOf({ expiresAt: clock.ms + 60_000, ...identity });
      },
    },
  });
  const verify = async (): Promise<string> => {
    try {
      const { tenant, unasked } = await verified.verify(GOOD, ADDRESS);
      return unasked ? `${tenant}, unasked` : tenant;
    } catch (error) {
      return error instanceof PosternError ? error.code : String(error);
    }
  };
  return { clock, vault, turnstile, verified, verify };
}

const unasked = (why: Unasked | undefined): PosternError => new PosternError('temporarily_unavailable', 'away', { unasked: why });
const UNANSWERED = unasked('unanswered');

describe('while Vault does not answer', () => {
  test('who was verified before is served, past the end of the Vault token too, until the grace is over', async () => {
    const { clock, vault, verify } = stage();
    expect(await verify()).toBe('acme');
    vault.says = UNANSWERED;
    clock.advance(30_000);
    expect(await verify()).toBe('acme, unasked');
    clock.advance(HOUR - 1);
    expect(await verify()).toBe('acme, unasked');
    clock.advance(1);
    expect(await verify()).toBe('temporarily_unavailable');
    expect(vault.asked).toBe(4);
  });

  test('and is served at once where that is known already: it is not asked', async () => {
    const { clock, vault, verified, verify } = stage();
    await verify();
    vault.says = UNANSWERED;
    vault.away = true;
    clock.advance(31_000);
    const identity = verified.verify(GOOD, ADDRESS);
    expect(identity).not.toBeInstanceOf(Promise);
    expect(vault.asked).toBe(1);
  });

  test('who waited for it in vain waits once: for ten seconds it is asked behind who is served, and what it says then counts', async () => {
    const { clock, vault, verified, verify } = stage();
    await verify();
    vault.says = UNANSWERED;
    vault.takes = 2_000;
    clock.advance(31_000);
    expect(await verify()).toBe('acme, unasked');
    expect(vault.asked).toBe(2);
    clock.advance(900);
    expect(verified.verify(GOOD, ADDRESS)).not.toBeInstanceOf(Promise);
    expect(vault.asked).toBe(2);
    clock.advance(200);
    expect(verified.verify(GOOD, ADDRESS)).not.toBeInstanceOf(Promise);
    await settled();
    expect(vault.asked).toBe(3);
    vault.says = wrongCredential();
    clock.advance(1_100);
    expect(await verify()).toBe('acme, unasked');
    await settled();
    expect(await verify()).toBe('invalid_client');
  });

  test('where it is known that it hangs, one is asked behind who is served as often as may be', async () => {
    const { clock, vault, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    vault.says = UNANSWERED;
    vault.away = true;
    clock.advance(31_000);
    expect(verified.verify(GOOD, ADDRESS)).not.toBeInstanceOf(Promise);
    expect(vault.asked).toBe(1);
    vault.mayTry = true;
    vault.says = 'yes';
    expect(verified.verify(GOOD, ADDRESS)).toMatchObject({ unasked: true });
    await settled();
    expect(vault.asked).toBe(2);
    expect((verified.verify(GOOD, ADDRESS) as Identity).unasked).toBeUndefined();
  });

  test.each([
    ['announcements are being read', true, 'acme, unasked'],
    ['not even these are', false, 'temporarily_unavailable'],
  ])('so is who waits too long for a Vault that has more to do than it can, while %s', async (_name, hears, outcome) => {
    const { clock, vault, turnstile, verify } = stage();
    await verify();
    clock.advance(31_000);
    vault.hears = hears;
    const gate = deferred<void>();
    const other = turnstile.run('other', () => gate.promise);
    const waiting = verify();
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5_000);
    gate.resolve();
    await other;
    expect(await waiting).toBe(outcome);
    expect(vault.asked).toBe(1);
  });

  test('it is the same identity, so that what it was granted is known too', async () => {
    const { clock, vault, verified } = stage();
    const before = await verified.verify(GOOD, ADDRESS);
    vault.says = UNANSWERED;
    clock.advance(31_000);
    expect(await verified.verify(GOOD, ADDRESS)).toBe(before);
  });

  test('but not past its own end', async () => {
    const end = new Clock().ms + 100_000;
    const { clock, vault, verify } = stage({ identity: { endsAt: end } });
    await verify();
    vault.says = UNANSWERED;
    clock.advance(99_999);
    expect(await verify()).toBe('acme, unasked');
    clock.advance(1);
    // Nobody need be asked for that.
    expect(await verify()).toBe('invalid_client');
    vault.away = true;
    expect(await verify()).toBe('invalid_client');
    vault.away = false;
    vault.says = 'yes';
    expect(await verify()).toBe('acme');
  });

  test('nor where it is good for so many logins only', async () => {
    const { clock, vault, verify } = stage({ identity: { counted: true } });
    await verify();
    vault.says = UNANSWERED;
    clock.advance(30_000);
    expect(await verify()).toBe('temporarily_unavailable');
    vault.away = true;
    expect(await verify()).toBe('temporarily_unavailable');
  });

  test('nor past it by the clock of Vault, where ours is behind', async () => {
    const end = new Clock().ms + 300_000;
    const { clock, vault, verify } = stage({ behind: 240_000, identity: { endsAt: end } });
    await verify();
    vault.says = UNANSWERED;
    clock.advance(59_999);
    expect(await verify()).toBe('acme, unasked');
    clock.advance(1);
    expect(await verify()).toBe('invalid_client');
  });

  test('nor remembered past it by that clock while Vault answers', async () => {
    const { clock, vault, verify } = stage({ behind: 240_000, identity: { endsAt: new Clock().ms + 250_000 } });
    await verify();
    clock.advance(9_999);
    await verify();
    expect(vault.asked).toBe(1);
    clock.advance(1);
    await verify();
    expect(vault.asked).toBe(2);
  });

  test('the one before answers for a Vault that fails between the login and the reading of what the client may do', async () => {
    const { clock, vault, verified } = stage();
    const first = await verified.verify(GOOD, ADDRESS);
    expect(first.before).toBeUndefined();
    clock.advance(31_000);
    const second = await verified.verify(GOOD, ADDRESS);
    expect(second.before?.identity).toBe(first);
    clock.advance(31_000);
    // Nothing was read for the second.
    const { before } = await verified.verify(GOOD, ADDRESS);
    expect(before?.identity).toBe(first);
    expect(before?.bridges(UNANSWERED)).toBe(true);
    expect(before?.bridges(unasked('throttled'))).toBe(true);
    expect(before?.bridges(unasked(undefined))).toBe(false);
    vault.hears = false;
    expect(before?.bridges(unasked('throttled'))).toBe(false);
    clock.advance(HOUR);
    expect(before?.bridges(UNANSWERED)).toBe(false);
  });

  test('and none that is forgotten, or another tenant’s', async () => {
    const { clock, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    verified.forget('acme');
    clock.advance(31_000);
    const { before } = await verified.verify(GOOD, ADDRESS);
    expect(before).toBeUndefined();
  });

  test('nor who was announced: forgotten is forgotten', async () => {
    for (const forget of ['forget', 'forgetAll'] as const) {
      const { clock, vault, verified, verify } = stage();
      await verify();
      vault.says = UNANSWERED;
      verified[forget]('acme');
      expect(await verify()).toBe('temporarily_unavailable');
      vault.away = true;
      clock.advance(31_000);
      expect(await verify()).toBe('temporarily_unavailable');
    }
  });

  test('nor who is announced while the question is under way', async () => {
    const { clock, vault, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    clock.advance(31_000);
    vault.says = UNANSWERED;
    const waiting = verified.verify(GOOD, ADDRESS);
    verified.forget('acme');
    await expect(waiting).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('nobody who was not verified by this very credential', async () => {
    const { verified, vault, verify } = stage();
    await verify();
    vault.says = UNANSWERED;
    vault.away = true;
    await expect(verified.verify(credentialOf('acme-role-id', 'another'), ADDRESS)).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    });
  });

  test('with a grace of 0 nobody', async () => {
    const { clock, vault, verify } = stage({ graceMs: 0 });
    await verify();
    vault.says = UNANSWERED;
    vault.away = true;
    clock.advance(30_000);
    expect(await verify()).toBe('temporarily_unavailable');
  });
});

describe('an answer that is no yes takes it out of memory', () => {
  test.each([
    ['wrong', wrongCredential()],
    ['not from here', new PosternError('access_denied', 'Client is not allowed from this address')],
    ['denied', unasked(undefined)],
    ['not set up', new PosternError('misconfigured', 'Client is not set up')],
    ['something unforeseen', new Error('unforeseen')],
  ])('%s', async (_name, answer) => {
    const { clock, vault, verify } = stage();
    await verify();
    clock.advance(31_000);
    vault.says = answer;
    expect(await verify()).not.toContain('acme');
    vault.says = UNANSWERED;
    expect(await verify()).not.toContain('acme');
    vault.away = true;
    clock.advance(20_000);
    expect(await verify()).toBe('temporarily_unavailable');
  });
});

test('a Vault that asks for patience (429) is bridged only while announcements are read', async () => {
  const { clock, vault, verify } = stage();
  await verify();
  clock.advance(31_000);
  vault.says = unasked('throttled');
  expect(await verify()).toBe('acme, unasked');
  vault.hears = false;
  expect(await verify()).toBe('temporarily_unavailable');
});

test('at its first answer everybody is verified anew, and marked no longer', async () => {
  const { clock, vault, verify } = stage();
  await verify();
  vault.says = UNANSWERED;
  vault.away = true;
  clock.advance(HOUR / 2);
  expect(await verify()).toBe('acme, unasked');
  vault.says = 'yes';
  vault.away = false;
  expect(await verify()).toBe('acme');
  expect(vault.asked).toBe(2);
});
