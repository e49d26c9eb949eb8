import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
import { Usage } from '#broker/credential/usage.ts';
import type { LastUse } from '#broker/credential/usage.ts';
import { Clock } from './clock.ts';
import { credentialOf } from './credential.ts';
import { identityOf } from './identity.ts';

const key = (n: number) => `key_${String(n).padStart(24, '0')}`;

function stage(options: { max?: number; merge?: (used: LastUse) => Promise<ReadonlySet<string>> } = {}) {
  const clock = new Clock(60_000 * 100);
  const merge = vi.fn(options.merge ?? (async () => new Set<string>()));
  const onError = vi.fn();
  const usage = new Usage({
    store: { merge },
    intervalMs: 10_000,
    now: clock.now,
    onError,
    ...(options.max === undefined ? {} : { max: options.max }),
  });
  return { usage, clock, merge, onError, handed: () => merge.mock.calls.map(([used]) => Object.fromEntries(used)) };
}

test('of many uses the last minute is handed on, once', async () => {
  const { usage, clock, handed } = stage();
  for (let n = 0; n < 1000; n++) usage.record(key(1));
  clock.advance(59_999);
  usage.record(key(2));
  clock.advance(1);
  usage.record(key(1));
  await usage.flush();
  await usage.flush();
  expect(handed()).toEqual([{ [key(1)]: 101, [key(2)]: 100 }]);
});

test('what could not be stored is handed on again, unless it was used since', async () => {
  let away = true;
  const { usage, clock, handed, onError } = stage({ merge: async () => (away ? new Set([key(1), key(2)]) : new Set()) });
  for (const n of [1, 2, 3]) usage.record(key(n));
  await usage.flush();
  clock.advance(60_000);
  usage.record(key(2));
  away = false;
  await usage.flush();
  expect(handed()).toEqual([
    { [key(1)]: 100, [key(2)]: 100, [key(3)]: 100 },
    { [key(1)]: 100, [key(2)]: 101 },
  ]);
  expect(onError).not.toHaveBeenCalled();
});

test('a store that breaks loses nothing and hurts nobody', async () => {
  let broken = true;
  const { usage, handed, onError } = stage({
    merge: async () => {
      if (broken) throw new Error('sealed');
      return new Set();
    },
  });
  usage.record(key(1));
  await usage.flush();
  broken = false;
  await usage.flush();
  expect(handed()).toEqual([{ [key(1)]: 100 }, { [key(1)]: 100 }]);
  expect(onError).toHaveBeenCalledOnce();
});

test('memory is bounded, also by what could not be stored: the oldest uses are forgotten', async () => {
  const { usage, handed } = stage({ max: 3, merge: async (used) => new Set(used.keys()) });
  for (let n = 0; n < 10; n++) usage.record(key(n));
  usage.record(key(7));
  await usage.flush();
  for (const n of [20, 21]) usage.record(key(n));
  await usage.flush();
  expect(handed().map((one) => Object.keys(one))).toEqual([
    [key(8), key(9), key(7)],
    [key(7), key(20), key(21)],
  ]);
});

describe('in time', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('it is handed on within each interval, and not at all where nothing was used', async () => {
    const { usage, merge } = stage();
    usage.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(merge).not.toHaveBeenCalled();
    for (let minute = 0; minute < 6; minute++) {
      for (let second = 0; second < 60; second++) {
        usage.record(key(1));
        await vi.advanceTimersByTimeAsync(1000);
      }
    }
    expect(merge.mock.calls.length).toBe(36);
    await usage.stop();
  });

  test('the end hands on what is left, and waits 3 s at most', async () => {
    const { usage, merge } = stage({ merge: () => new Promise(() => {}) });
    usage.start();
    usage.record(key(1));
    let stopped = false;
    void usage.stop().then(() => (stopped = true));
    await vi.advanceTimersByTimeAsync(2999);
    expect([merge.mock.calls.length, stopped]).toEqual([1, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(stopped).toBe(true);
  });

  test('after the end nothing more comes', async () => {
    const { usage, merge } = stage();
    usage.start();
    await usage.stop();
    usage.record(key(1));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(merge).not.toHaveBeenCalled();
  });
});

test('a use is told at each verification by Vault, and at no hit', async () => {
  const clock = new Clock();
  const onVerified = vi.fn();
  const identity = identityOf({ keyId: key(1) });
  const verified = new VerifiedCredentials({ login: { login: async () => identity }, rememberMs: 30_000, onVerified, now: clock.now });
  const credential = credentialOf('acme-role-id', 'secret');
  await Promise.all(Array.from({ length: 50 }, async () => verified.verify(credential, '192.0.2.1')));
  for (let n = 0; n < 50; n++) await verified.verify(credential, '192.0.2.1');
  expect(onVerified).toHaveBeenCalledExactlyOnceWith(identity);
  clock.advance(30_001);
  await verified.verify(credential, '192.0.2.1');
  expect(onVerified).toHaveBeenCalledTimes(2);
});
