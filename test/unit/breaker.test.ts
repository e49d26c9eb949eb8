import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Breaker } from '#broker/breaker.ts';

const breakers: Breaker[] = [];
afterEach(() => breakers.splice(0).forEach((one) => one.stop()));

function stage(resetMs = 40) {
  const changes: boolean[] = [];
  const breaker = new Breaker({
    weightOf: (error) => ({ away: 1, slow: 2 })[(error as Error).message] ?? 0,
    refusal: (retryAfter) => new Error(`not asked, again in ${retryAfter} s`),
    onChange: (open) => changes.push(open),
    resetMs,
  });
  breakers.push(breaker);
  const asked: string[] = [];
  const run = (what: string, probes = false): Promise<string> =>
    breaker
      .run(async () => {
        asked.push(what);
        if (what !== 'well') throw new Error(what);
        return what;
      }, probes)
      .catch((error: unknown) => (error as Error).message);
  return { breaker, changes, asked, run };
}

const times = async (n: number, run: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < n; i++) await run();
};

test('eight calls in a row that nobody answers open it; then nobody is asked, and told when to try again', async () => {
  const { breaker, asked, run, changes } = stage();
  await times(7, () => run('away'));
  expect(breaker.open).toBe(false);
  expect(await run('away')).toBe('away');
  expect(breaker.open).toBe(true);
  expect(await run('well')).toBe('not asked, again in 1 s');
  expect(asked).toHaveLength(8);
  expect(changes).toEqual([true]);
});

test('a time-out counts twice', async () => {
  const { breaker, run } = stage();
  await times(4, () => run('slow'));
  expect(breaker.open).toBe(true);
});

test('an answer begins the count anew, a refusal as well as a success', async () => {
  const { breaker, run } = stage();
  for (const answer of ['well', 'denied', 'well']) {
    await times(7, () => run('away'));
    await run(answer);
  }
  // Until half of all calls fail.
  expect(breaker.open).toBe(true);
  const other = stage();
  for (let i = 0; i < 20; i++) {
    await times(1, () => other.run('away'));
    await times(2, () => other.run('denied'));
  }
  expect(other.breaker.open).toBe(false);
});

test('by and by one call that probes may try, and no other; its success closes it for all', async () => {
  const { breaker, asked, changes, run } = stage();
  await times(8, () => run('away'));
  await sleep(60);
  expect(await run('well')).toMatch(/not asked/);
  const probes = await Promise.all([run('away', true), run('away', true), run('well', true)]);
  expect(probes.filter((one) => one === 'away')).toHaveLength(1);
  expect(asked).toHaveLength(9);
  expect(breaker.open).toBe(true);
  await sleep(60);
  expect(await run('denied', true)).toBe('denied');
  expect(breaker.open).toBe(false);
  expect(await run('well')).toBe('well');
  expect(changes).toEqual([true, false]);
});

test('failures of some seconds ago say nothing: who comes to one that nobody probes may ask, all of them', async () => {
  let now = 0;
  const asked: string[] = [];
  const breaker = new Breaker({
    monotonic: () => now,
    weightOf: () => 1,
    refusal: () => new Error('not asked'),
    resetMs: 2_000,
  });
  breakers.push(breaker);
  const ask = (what: 'well' | 'away'): Promise<string> =>
    breaker
      .run(async () => {
        asked.push(what);
        if (what === 'away') throw new Error(what);
        return what;
      }, true)
      .catch((error: unknown) => (error as Error).message);
  await times(8, () => ask('away'));
  expect(await ask('well')).toBe('not asked');
  now += 10_000;
  expect(await Promise.all(Array.from({ length: 20 }, () => ask('well')))).toEqual(Array.from({ length: 20 }, () => 'well'));
  // Seven and one, with a minute between them, are no eight in a row.
  await times(7, () => ask('away'));
  now += 60_000;
  await ask('away');
  expect(breaker.open).toBe(false);
});

test('the first answer closes it, and what failed before it does not open it again', async () => {
  let now = 0;
  const breaker = new Breaker({ monotonic: () => now, weightOf: () => 1, refusal: () => new Error('not asked'), resetMs: 500 });
  breakers.push(breaker);
  const away = (): Promise<unknown> => breaker.run(() => Promise.reject(new Error('away')), true).catch(() => undefined);
  await times(16, away);
  expect(breaker.open).toBe(true);
  now += 600;
  expect(await breaker.run(async () => 'well', true)).toBe('well');
  expect(breaker.open).toBe(false);
  await away();
  expect(breaker.open).toBe(false);
});

test('one that nobody probes is not open any more when its failures are some seconds old, though nobody has asked', async () => {
  let now = 0;
  const breaker = new Breaker({ monotonic: () => now, weightOf: () => 1, refusal: () => new Error('not asked'), resetMs: 500 });
  breakers.push(breaker);
  await times(8, () => breaker.run(() => Promise.reject(new Error('away')), true).catch(() => undefined));
  expect([breaker.open, breaker.mayTry]).toEqual([true, false]);
  now += 600;
  expect([breaker.open, breaker.mayTry]).toEqual([true, true]);
  now += 4_000;
  expect([breaker.open, breaker.mayTry]).toEqual([false, true]);
});

test('one that is probed opens for nobody but the one who probes, however long ago it failed', async () => {
  let now = 0;
  const breaker = new Breaker({
    monotonic: () => now,
    weightOf: () => 1,
    refusal: (seconds) => new Error(`again in ${seconds} s`),
    resetMs: 3_000,
    probed: true,
  });
  breakers.push(breaker);
  await times(8, () => breaker.run(() => Promise.reject(new Error('away')), true).catch(() => undefined));
  await expect(breaker.run(async () => 'well', false)).rejects.toThrow('again in 3 s');
  now += 60_000;
  await expect(breaker.run(async () => 'well', false)).rejects.toThrow('again in 1 s');
  expect(await breaker.run(async () => 'well', true)).toBe('well');
});

test('who tries by and by is let through with all of one look, whatever the calls of others have met meanwhile', async () => {
  const breaker = new Breaker({ monotonic: () => 0, weightOf: () => 1, refusal: () => new Error('not asked'), probed: true });
  breakers.push(breaker);
  const fail = (): Promise<void> => breaker.run(() => Promise.reject(new Error('away')), false).catch(() => undefined);
  for (let look = 0; look < 3; look++) {
    await times(8, fail);
    expect(breaker.open).toBe(true);
    const answers = Array.from({ length: 5 }, (_, at) => breaker.run(async () => at, true));
    expect(await Promise.all(answers)).toEqual([0, 1, 2, 3, 4]);
    expect(breaker.open).toBe(false);
  }
});

test('but with no more than belong together', async () => {
  const breaker = new Breaker({ monotonic: () => 0, weightOf: () => 1, refusal: () => new Error('not asked'), probed: true });
  breakers.push(breaker);
  await times(8, () => breaker.run(() => Promise.reject(new Error('away')), true).catch(() => undefined));
  const never = new Promise<never>(() => {});
  for (let at = 0; at < 8; at++) void breaker.run(() => never, true);
  await expect(breaker.run(() => never, true)).rejects.toThrow('not asked');
});
