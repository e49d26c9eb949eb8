import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { AnnouncementWatch, NO_ANNOUNCEMENTS } from '#broker/credential/announcements.ts';
import type { Announcements } from '#broker/credential/announcements.ts';
import { PosternError } from '#broker/error.ts';
import { Clock, deferred } from './clock.ts';

const epochOf = (epoch: number, recent: [number, string][] = [], disabled: string[] = []): Announcements => ({
  epoch,
  disabled,
  recent: recent.map(([e, tenant]) => ({ epoch: e, tenant })),
});

async function watched(...epochs: (Announcements | Error)[]) {
  const forgotten: string[] = [];
  const errors: unknown[] = [];
  const left = [...epochs];
  const watch = new AnnouncementWatch({
    reader: {
      readAnnouncements: async () => {
        const next = left.shift() ?? epochs.at(-1);
        if (next === undefined || next instanceof Error) throw next ?? new Error('none');
        return next;
      },
    },
    verified: { forget: (tenant) => void forgotten.push(tenant), forgetAll: () => void forgotten.push('*') },
    onError: (error) => errors.push(error),
  });
  await watch.look();
  // What was verified before the first look is forgotten then: nobody knows what was announced meanwhile.
  expect(forgotten.splice(0)).toEqual(epochs[0] instanceof Error ? [] : ['*']);
  for (let i = 1; i < epochs.length; i++) await watch.look();
  return { watch, forgotten, errors };
}

describe('while announcements can not be read', () => {
  const unanswered = new PosternError('temporarily_unavailable', 'away', { unasked: 'unanswered' });
  const told = new PosternError('temporarily_unavailable', 'away', { unasked: 'throttled' });
  const refused = new PosternError('temporarily_unavailable', 'denied');

  const stage = async (graceMs?: number) => {
    const clock = new Clock();
    const says: { now: Announcements | Error; other: Error | undefined } = { now: epochOf(1, [], ['gone']), other: undefined };
    const watch = new AnnouncementWatch({
      now: clock.now,
      monotonic: clock.monotonic,
      reader: {
        readAnnouncements: async () => {
          if (says.now instanceof Error) throw says.now;
          return says.now;
        },
      },
      watched: [{ look: async () => (says.other === undefined ? undefined : Promise.reject(says.other)) }],
      verified: { forget: () => {}, forgetAll: () => {} },
      ...(graceMs === undefined ? {} : { graceMs }),
    });
    await watch.look();
    const disabled = (tenant: string): unknown => {
      try {
        return watch.isDisabled(tenant);
      } catch (error) {
        return (error as PosternError).code;
      }
    };
    return { clock, says, watch, disabled };
  };

  test('but where one of them is answered Vault can be asked: no grace for what is not known of the others', async () => {
    const { clock, says, watch, disabled } = await stage(3_600_000);
    says.other = unanswered;
    clock.advance(30_000);
    await watch.look();
    clock.advance(30_000);
    expect(disabled('acme')).toBe(false);
    clock.advance(1);
    expect(disabled('acme')).toBe('temporarily_unavailable');
  });

  test('each is known since it was read itself: of two that take turns to fail none is too old', async () => {
    const { clock, says, watch, disabled } = await stage();
    for (let look = 0; look < 8; look++) {
      says.now = look % 2 === 0 ? unanswered : epochOf(1, [], ['gone']);
      says.other = look % 2 === 0 ? undefined : unanswered;
      clock.advance(20_000);
      await watch.look();
      expect(disabled('acme')).toBe(false);
    }
    expect(watch.age).toBe(20_000);
  });

  test('one that hangs holds up no other: who is disabled meanwhile is refused', async () => {
    let now = epochOf(1);
    const hangs = Promise.withResolvers<void>();
    let looks = 0;
    const watch = new AnnouncementWatch({
      reader: { readAnnouncements: async () => now },
      watched: [{ look: () => (looks++ === 0 ? Promise.resolve() : hangs.promise) }],
      verified: { forget: () => {}, forgetAll: () => {} },
      intervalMs: 10,
    });
    await watch.start();
    await vi.waitFor(() => expect(looks).toBe(2));
    now = epochOf(2, [[2, 'acme']], ['acme']);
    await vi.waitFor(() => expect(watch.isDisabled('acme')).toBe(true));
    watch.stop();
    hangs.resolve();
  });

  test('when one is answered again the others are asked at once, and there is patience until they were', async () => {
    const clock = new Clock();
    const timers: (() => void)[] = [];
    let away = false;
    const other = { looks: 0, late: undefined as PromiseWithResolvers<void> | undefined };
    const watch = new AnnouncementWatch({
      now: clock.now,
      monotonic: clock.monotonic,
      after: (ms, work) => {
        // The note of the time is not what this is about.
        if (ms === 250) return () => {};
        timers.push(work);
        return () => void (timers.includes(work) && timers.splice(timers.indexOf(work), 1));
      },
      reader: { readAnnouncements: () => (away ? Promise.reject(unanswered) : Promise.resolve(epochOf(1))) },
      watched: [
        {
          look: async () => {
            other.looks++;
            // Its timer is the later one.
            await sleep(5);
            if (other.late !== undefined) await other.late.promise;
            if (away) throw unanswered;
          },
        },
      ],
      verified: { forget: () => {}, forgetAll: () => {} },
      graceMs: 3_600_000,
    });
    await watch.start();
    away = true;
    clock.advance(600_000);
    timers.shift()!();
    await vi.waitFor(() => expect(timers).toHaveLength(2));
    expect(watch.isDisabled('acme')).toBe(false);
    away = false;
    other.late = deferred();
    expect(other.looks).toBe(2);
    timers.shift()!();
    await vi.waitFor(() => expect(other.looks).toBe(3));
    expect(watch.isDisabled('acme')).toBe(false);
    // It could be asked, and says nothing all the same: a minute from the first answer.
    clock.advance(2_000);
    other.late.reject(unanswered);
    await sleep(20);
    clock.advance(58_000);
    expect(watch.isDisabled('acme')).toBe(false);
    clock.advance(1);
    expect(() => watch.isDisabled('acme')).toThrow();
  });

  test('where Vault answers now one, now another after an outage, nobody is refused in between', async () => {
    const { clock, says, watch, disabled } = await stage(3_600_000);
    Object.assign(says, { now: unanswered, other: unanswered });
    await watch.look();
    clock.advance(66_000);
    for (let round = 0; round < 10; round++) {
      Object.assign(says, { now: unanswered, other: unanswered });
      if (round % 5 === 2) says.now = epochOf(1, [], ['gone']);
      if (round % 5 === 4) says.other = undefined;
      await watch.look();
      expect([round, disabled('acme'), disabled('gone')]).toEqual([round, false, true]);
      clock.advance(1_000);
    }
  });

  test('however often it comes back in between, what was never answered holds for the grace and no longer', async () => {
    const { clock, says, watch, disabled } = await stage(300_000);
    for (let minute = 0; minute < 10; minute++) {
      Object.assign(says, { now: unanswered, other: unanswered });
      await watch.look();
      says.now = epochOf(1, [], ['gone']);
      await watch.look();
      await watch.look();
      expect([minute, disabled('acme')]).toEqual([minute, minute <= 5 ? false : 'temporarily_unavailable']);
      clock.advance(60_000);
    }
  });

  test('since Vault does not answer, the last ones hold for the grace, and no longer', async () => {
    const { clock, says, watch, disabled } = await stage(3_600_000);
    says.now = unanswered;
    says.other = unanswered;
    await watch.look();
    clock.advance(3_600_000);
    expect([disabled('acme'), disabled('gone'), watch.serves]).toEqual([false, true, true]);
    clock.advance(1);
    expect([disabled('acme'), disabled('gone'), watch.serves]).toEqual(['temporarily_unavailable', 'temporarily_unavailable', false]);
  });

  test.each([
    ['it is refused', refused, refused],
    ['one of them is refused', unanswered, refused],
    ['Vault asks for patience', told, told],
    ['of a fault of ours', new Error('unforeseen'), unanswered],
  ])('since %s, they hold for a minute', async (_why, now, other) => {
    const { clock, says, watch, disabled } = await stage(3_600_000);
    Object.assign(says, { now, other });
    await watch.look();
    clock.advance(60_000);
    expect(disabled('acme')).toBe(false);
    clock.advance(1);
    expect(disabled('acme')).toBe('temporarily_unavailable');
  });

  test('without a grace they hold for a minute too, and so after an outage that ends in a refusal', async () => {
    const none = await stage();
    Object.assign(none.says, { now: unanswered, other: unanswered });
    await none.watch.look();
    none.clock.advance(60_001);
    expect(none.disabled('acme')).toBe('temporarily_unavailable');
    const { clock, says, watch, disabled } = await stage(3_600_000);
    Object.assign(says, { now: unanswered, other: unanswered });
    await watch.look();
    clock.advance(600_000);
    expect(disabled('acme')).toBe(false);
    says.now = refused;
    await watch.look();
    expect(disabled('acme')).toBe('temporarily_unavailable');
  });
});

describe('what is announced is forgotten', () => {
  test('one tenant', async () => {
    expect((await watched(epochOf(5), epochOf(6, [[6, 'acme']]))).forgotten).toEqual(['acme']);
  });

  test('several since the last look, older ones not again', async () => {
    const { forgotten } = await watched(
      epochOf(5, [[5, 'old']]),
      epochOf(8, [
        [4, 'x'],
        [5, 'old'],
        [6, 'a'],
        [7, 'b'],
        [8, 'c'],
      ]),
    );
    expect(forgotten).toEqual(['a', 'b', 'c']);
  });

  test('nothing when nothing changed', async () => {
    expect((await watched(epochOf(5, [[5, 'a']]), epochOf(5, [[5, 'a']]), epochOf(5, [[5, 'a']]))).forgotten).toEqual([]);
  });

  test('the first announcement ever', async () => {
    expect((await watched(NO_ANNOUNCEMENTS, epochOf(1, [[1, 'acme']]))).forgotten).toEqual(['acme']);
  });

  test.each<[string, Announcements]>([
    [
      'fell off the list',
      epochOf(9, [
        [8, 'a'],
        [9, 'b'],
      ]),
    ],
    [
      'is missing in the middle',
      epochOf(8, [
        [6, 'a'],
        [8, 'b'],
      ]),
    ],
    [
      'is missing, and another is there twice',
      epochOf(8, [
        [6, 'a'],
        [8, 'b'],
        [8, 'c'],
      ]),
    ],
    ['is not listed at all', epochOf(6)],
    ['lies in the future instead', epochOf(6, [[7, 'a']])],
    ['counted backwards', epochOf(3, [[3, 'a']])],
    ['was deleted with the document', NO_ANNOUNCEMENTS],
  ])('everybody, when an announcement %s', async (_fault, now) => {
    expect((await watched(epochOf(5), now)).forgotten).toEqual(['*']);
  });
});

describe('who is disabled', () => {
  test('holds at once and ends when it is taken back', async () => {
    const { watch } = await watched(epochOf(1), epochOf(2, [[2, 'evil']], ['evil']));
    expect([watch.isDisabled('evil'), watch.isDisabled('acme')]).toEqual([true, false]);
    const again = await watched(epochOf(2, [[2, 'evil']], ['evil']), epochOf(3, [[3, 'evil']]));
    expect(again.watch.isDisabled('evil')).toBe(false);
  });

  test('is known at the first look, without an announcement', async () => {
    expect((await watched(epochOf(2, [], ['evil']))).watch.isDisabled('evil')).toBe(true);
  });

  test('changes without a new epoch too', async () => {
    expect((await watched(epochOf(2), epochOf(2, [], ['evil']))).watch.isDisabled('evil')).toBe(true);
  });

  test('stays so while the epoch cannot be read', async () => {
    const { watch, errors } = await watched(epochOf(2, [], ['evil']), new Error('sealed'), new Error('sealed'));
    expect(watch.isDisabled('evil')).toBe(true);
    expect(errors).toHaveLength(2);
  });

  test('is not answered with "nobody" before an epoch was ever read', async () => {
    const { watch } = await watched(new Error('sealed'));
    expect(watch.known).toBe(false);
    let refusal: unknown;
    try {
      watch.isDisabled('acme');
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(PosternError);
    expect(refusal).toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
  });
});

describe('looking', () => {
  test('goes on after an error, and what was announced meanwhile is not lost', async () => {
    const { watch, forgotten, errors } = await watched(
      epochOf(5),
      new Error('away'),
      epochOf(7, [
        [6, 'a'],
        [7, 'b'],
      ]),
    );
    expect(errors).toHaveLength(1);
    expect(forgotten).toEqual(['a', 'b']);
    expect(watch.known).toBe(true);
  });

  test('repeats each interval until it is stopped', async () => {
    const readAnnouncements = vi.fn(async () => NO_ANNOUNCEMENTS);
    const watch = new AnnouncementWatch({
      reader: { readAnnouncements },
      verified: { forget: () => {}, forgetAll: () => {} },
      intervalMs: 5,
    });
    await watch.start();
    await expect.poll(() => readAnnouncements.mock.calls.length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(3);
    watch.stop();
    await sleep(10);
    const stopped = readAnnouncements.mock.calls.length;
    await sleep(30);
    expect(readAnnouncements.mock.calls.length).toBe(stopped);
  });

  test('stopped during a look, it does not start again', async () => {
    const readAnnouncements = vi.fn(async () => NO_ANNOUNCEMENTS);
    const watch = new AnnouncementWatch({
      reader: { readAnnouncements },
      verified: { forget: () => {}, forgetAll: () => {} },
      intervalMs: 1,
    });
    const starting = watch.start();
    watch.stop();
    await starting;
    await sleep(20);
    expect(readAnnouncements).toHaveBeenCalledTimes(1);
  });
});

test('an epoch that could not be read for a minute is not an answer: who was disabled meanwhile is not known', async () => {
  const clock = new Clock();
  let away = false;
  const watch = new AnnouncementWatch({
    reader: {
      readAnnouncements: async () => {
        if (away) throw new Error('away');
        return epochOf(1);
      },
    },
    verified: { forget: () => {}, forgetAll: () => {} },
    now: clock.now,
    monotonic: clock.monotonic,
  });
  await watch.look();
  away = true;
  clock.advance(60_000);
  await watch.look();
  expect(watch.isDisabled('acme')).toBe(false);
  clock.advance(1);
  expect(() => watch.isDisabled('acme')).toThrow(expect.objectContaining({ code: 'temporarily_unavailable', retryAfter: 5 }));
  away = false;
  await watch.look();
  expect(watch.isDisabled('acme')).toBe(false);
});

test('a clock set back makes no old epoch young', async () => {
  const clock = new Clock();
  const answers = [Promise.resolve(epochOf(1))];
  const watch = new AnnouncementWatch({
    reader: { readAnnouncements: () => answers.shift() ?? Promise.reject(new Error('away')) },
    verified: { forget: () => {}, forgetAll: () => {} },
    now: clock.now,
    monotonic: clock.monotonic,
  });
  await watch.look();
  clock.setBack(3_600_000);
  clock.advance(60_001);
  expect(() => watch.isDisabled('acme')).toThrow(expect.objectContaining({ code: 'temporarily_unavailable' }));
});

describe('revoked tokens are looked at together with the epoch', () => {
  const fault = new PosternError('temporarily_unavailable', 'away');

  function stage() {
    const clock = new Clock();
    const errors: unknown[] = [];
    const state = { epochAway: false, revocationsAway: false, looks: 0, disabled: [] as string[] };
    const watch = new AnnouncementWatch({
      reader: { readAnnouncements: async () => (state.epochAway ? Promise.reject(fault) : epochOf(1, [], state.disabled)) },
      watched: [
        {
          look: async () => {
            state.looks++;
            if (state.revocationsAway) throw fault;
          },
        },
      ],
      verified: { forget: () => {}, forgetAll: () => {} },
      now: clock.now,
      monotonic: clock.monotonic,
      onError: (error) => errors.push(error),
    });
    return { clock, errors, state, watch };
  }

  test.each(['epochAway', 'revocationsAway'] as const)('nobody is served before both were read (%s)', async (away) => {
    const { errors, state, watch } = stage();
    state[away] = true;
    await watch.look();
    expect([watch.known, errors]).toEqual([false, [fault]]);
    expect(() => watch.isDisabled('acme')).toThrow(expect.objectContaining({ code: 'temporarily_unavailable', retryAfter: 1 }));
    state[away] = false;
    await watch.look();
    expect([watch.known, watch.isDisabled('acme'), state.looks]).toEqual([true, false, 2]);
  });

  test.each(['epochAway', 'revocationsAway'] as const)('nor a minute after one of them could last be read (%s)', async (away) => {
    const { clock, state, watch } = stage();
    await watch.look();
    state[away] = true;
    clock.advance(60_000);
    await watch.look();
    expect(watch.isDisabled('acme')).toBe(false);
    clock.advance(1);
    expect(() => watch.isDisabled('acme')).toThrow(expect.objectContaining({ code: 'temporarily_unavailable', retryAfter: 5 }));
  });

  test('what the epoch says holds though the revoked tokens could not be read', async () => {
    const { state, watch } = stage();
    await watch.look();
    state.revocationsAway = true;
    state.disabled = ['evil'];
    await watch.look();
    expect(watch.isDisabled('evil')).toBe(true);
  });
});

describe('a process that stood still', () => {
  async function stage() {
    const clock = new Clock();
    const timers: { due: number; work: () => void }[] = [];
    /** The watch's note of the time, four a second. */
    const beat = { work: () => {}, on: false };
    const says: { now: Promise<Announcements>; other: () => Promise<void>; asked: number } = {
      now: Promise.resolve(epochOf(1)),
      other: async () => {},
      asked: 0,
    };
    const watch = new AnnouncementWatch({
      now: clock.now,
      monotonic: clock.monotonic,
      after: (ms, work) => {
        if (ms === 250) {
          Object.assign(beat, { work, on: true });
          return () => Object.assign(beat, { on: false });
        }
        const timer = { due: clock.monotonic() + ms, work };
        timers.push(timer);
        return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0);
      },
      reader: {
        readAnnouncements: () => {
          says.asked += 1;
          return says.now;
        },
      },
      watched: [{ look: () => says.other() }],
      verified: { forget: () => {}, forgetAll: () => {} },
      graceMs: 3_600_000,
    });
    await watch.start();
    const fire = () => {
      for (const timer of timers.filter(({ due }) => due <= clock.monotonic())) {
        if (!timers.includes(timer)) continue;
        timers.splice(timers.indexOf(timer), 1);
        timer.work();
      }
    };
    return { beat, clock, fire, timers, says, watch };
  }

  test('has who comes wait for the looks that are overdue, and looks each second after that', async () => {
    const { beat, clock, timers, says, watch } = await stage();
    clock.advance(1_000);
    expect(watch.catchUp()).toBeUndefined();
    beat.work();
    clock.advance(1_000);
    expect(watch.catchUp()).toBeUndefined();
    clock.advance(100);
    says.now = Promise.resolve(epochOf(2, [[2, 'gone']], ['gone']));
    const caughtUp = watch.catchUp();
    expect(watch.catchUp()).toBe(caughtUp);
    expect(watch.isDisabled('gone')).toBe(false);
    await caughtUp;
    expect([watch.isDisabled('gone'), says.asked, watch.catchUp()]).toEqual([true, 2, undefined]);
    // One for each, not two.
    expect(timers.map(({ due }) => due)).toEqual([3_100, 3_100]);
    watch.stop();
    clock.advance(10_000);
    expect([watch.catchUp(), timers, beat.on]).toEqual([undefined, [], false]);
  });

  test('looks by itself where the note of the time itself comes late, and has who comes after it wait', async () => {
    const { beat, clock, says, watch } = await stage();
    clock.advance(9_000);
    says.now = Promise.resolve(epochOf(2, [[2, 'gone']], ['gone']));
    beat.work();
    await watch.catchUp();
    expect([watch.isDisabled('gone'), says.asked, watch.catchUp()]).toEqual([true, 2, undefined]);
  });

  test('does so too where its machine slept, whose monotonic clock stopped meanwhile', async () => {
    const { clock, says, watch } = await stage();
    clock.setBack(-9_000);
    says.now = Promise.resolve(epochOf(2, [[2, 'gone']], ['gone']));
    await watch.catchUp();
    expect([watch.isDisabled('gone'), says.asked, watch.catchUp()]).toEqual([true, 2, undefined]);
  });

  test('and not where somebody set the wall clock back', async () => {
    const { clock, watch } = await stage();
    clock.setBack(3_600_000);
    expect(watch.catchUp()).toBeUndefined();
  });

  test('looks on where a look falls due while all is being caught up', async () => {
    const { beat, clock, fire, timers, says, watch } = await stage();
    let looks = 0;
    says.other = async () => void (looks += 1);
    const old = deferred<Announcements>();
    clock.advance(9_000);
    says.now = old.promise;
    const caughtUp = watch.catchUp();
    await sleep(1);
    expect([looks, timers.length]).toEqual([1, 1]);
    beat.work();
    clock.advance(1_000);
    fire();
    await sleep(1);
    expect([looks, timers.length]).toEqual([2, 1]);
    old.resolve(epochOf(2));
    await caughtUp;
    expect(timers).toHaveLength(2);
  });

  test('waits for the look that was under way, whose answer may be old, and looks again', async () => {
    const { clock, fire, timers, says, watch } = await stage();
    const old = deferred<Announcements>();
    says.now = old.promise;
    clock.advance(1_000);
    fire();
    await sleep(1);
    expect(says.asked).toBe(2);
    clock.advance(8_000);
    const caughtUp = watch.catchUp();
    says.now = Promise.resolve(epochOf(2, [[2, 'gone']], ['gone']));
    old.resolve(epochOf(1));
    await caughtUp;
    expect([watch.isDisabled('gone'), says.asked, timers.length]).toEqual([true, 3, 2]);
  });

  test('has who comes wait for a look that has begun too late, as for one that has not begun', async () => {
    const { clock, fire, timers, says, watch } = await stage();
    const late = deferred<Announcements>();
    says.now = late.promise;
    clock.advance(9_000);
    fire();
    const caughtUp = watch.catchUp();
    expect([caughtUp, says.asked]).toEqual([expect.any(Promise), 2]);
    late.resolve(epochOf(2, [[2, 'gone']], ['gone']));
    await caughtUp;
    expect([watch.isDisabled('gone'), watch.catchUp(), timers.length, says.asked]).toEqual([true, undefined, 2, 2]);
  });

  test('goes on by what it knows where Vault is away', async () => {
    const { clock, says, watch } = await stage();
    clock.advance(8_000);
    const away = new PosternError('temporarily_unavailable', 'away', { unasked: 'unanswered' });
    says.now = Promise.reject(away);
    says.other = () => Promise.reject(away);
    await watch.catchUp();
    expect(watch.isDisabled('acme')).toBe(false);
    clock.advance(900);
    expect(watch.catchUp()).toBeUndefined();
  });
});

describe('a restore of Vault', () => {
  const said = (epoch: number, tenant: string, change: 'disable' | 'enable' | 'changed' | 'replayed', at: number) => ({
    epoch,
    tenant,
    change,
    at,
  });
  const stage = async (before: Announcements) => {
    const state = { now: before };
    const restored: unknown[] = [];
    const watch = new AnnouncementWatch({
      reader: { readAnnouncements: async () => state.now },
      verified: { forget: () => {}, forgetAll: () => {} },
      onRestored: (one) => restored.push(one),
    });
    await watch.look();
    return { state, restored, watch };
  };
  const first = said(1, 'evil', 'enable', 100);
  const before = { epoch: 2, disabled: ['evil'], recent: [first, said(2, 'evil', 'disable', 200)] };

  test.each<[string, Announcements]>([
    ['counts backwards', { epoch: 1, disabled: [], recent: [first] }],
    ['is gone', NO_ANNOUNCEMENTS],
    ['uses a number again', { epoch: 2, disabled: [], recent: [first, said(2, 'acme', 'changed', 300)] }],
    [
      'uses a number again and goes on',
      { epoch: 3, disabled: [], recent: [first, said(2, 'a', 'changed', 300), said(3, 'b', 'changed', 301)] },
    ],
  ])('that %s takes nobody off the list of disabled ones, and is told once', async (_how, now) => {
    const { state, restored, watch } = await stage(before);
    expect(watch.warnings).toEqual([]);
    state.now = now;
    await watch.look();
    await watch.look();
    expect(watch.isDisabled('evil')).toBe(true);
    expect(restored).toEqual([{ from: 2, to: now.epoch, held: ['evil'] }]);
    expect(watch.warnings[0]).toContain('from 2 to');
  });

  test('is over for a tenant that is enabled anew, not by an old announcement; the warning ends when all was replayed', async () => {
    const { state, watch } = await stage(before);
    state.now = { epoch: 1, disabled: [], recent: [first] };
    await watch.look();
    expect(watch.isDisabled('evil')).toBe(true);
    state.now = { epoch: 2, disabled: [], recent: [first, said(2, 'evil', 'enable', 300)] };
    await watch.look();
    expect(watch.isDisabled('evil')).toBe(false);
    expect(watch.warnings).toHaveLength(1);
    state.now = { epoch: 3, disabled: [], recent: [...state.now.recent, said(3, '*', 'replayed', 301)] };
    await watch.look();
    expect(watch.warnings).toEqual([]);
  });

  test('was none where all is there again: somebody else had answered', async () => {
    const { state, watch } = await stage(before);
    state.now = NO_ANNOUNCEMENTS;
    await watch.look();
    expect(watch.warnings).toHaveLength(1);
    state.now = { epoch: 3, disabled: [], recent: [...before.recent, said(3, 'evil', 'enable', 300)] };
    await watch.look();
    expect(watch.warnings).toEqual([]);
    expect(watch.isDisabled('evil')).toBe(false);
  });

  test('is none the less where the numbers are the same again, and not what they told; or where only some of it is back', async () => {
    const { state, watch } = await stage(before);
    state.now = { epoch: 1, disabled: [], recent: [first] };
    await watch.look();
    const other = { epoch: 2, disabled: [], recent: [first, said(2, 'evil', 'changed', 300)] };
    for (const now of [other, { epoch: 1, disabled: [], recent: [first] }, other]) {
      state.now = now;
      await watch.look();
      expect(watch.warnings).toHaveLength(1);
      expect(watch.isDisabled('evil')).toBe(true);
    }
    state.now = before;
    await watch.look();
    // What was announced after the restore is lost by now.
    expect(watch.warnings).toHaveLength(1);
  });
});
