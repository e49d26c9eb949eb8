import { describe, expect, test } from 'vitest';
import { Changed, Generations, decide } from '#broker/credential/generations.ts';

describe('what changed since', () => {
  test('one tenant, and no other', () => {
    const generations = new Generations();
    const begun = generations.now;
    generations.changed('acme');
    expect([generations.since('acme', begun), generations.since('globex', begun)]).toEqual([true, false]);
    expect(generations.since('acme', generations.now)).toBe(false);
  });

  test('everybody; what changed before does not count twice', () => {
    const generations = new Generations();
    generations.changed('acme');
    const begun = generations.now;
    expect(generations.since('acme', begun)).toBe(false);
    generations.allChanged();
    expect([generations.since('acme', begun), generations.since('globex', begun)]).toEqual([true, true]);
  });

  test('nothing is lost however many tenants change', () => {
    const generations = new Generations();
    const begun = generations.now;
    generations.changed('first');
    for (let i = 0; i < 10_001; i++) generations.changed(`t${i}`);
    expect(generations.since('first', begun)).toBe(true);
  });
});

describe('a decision', () => {
  test('is made again where its tenant changed meanwhile, and is told that it is the second time', async () => {
    const generations = new Generations();
    const asked: boolean[] = [];
    const decided = await decide(
      generations,
      async (again) => {
        asked.push(again);
        if (!again) generations.changed('acme');
        return asked.length;
      },
      () => 'acme',
    );
    expect([decided, asked]).toEqual([2, [false, true]]);
  });

  test('is made again where it noticed itself; a refusal stands', async () => {
    const generations = new Generations();
    let count = 0;
    const decided = await decide(
      generations,
      () => (++count === 1 ? Promise.reject(new Changed()) : 'ok'),
      () => 'acme',
    );
    expect([decided, count]).toEqual(['ok', 2]);
    await expect(
      decide(
        generations,
        () => Promise.reject(new RangeError('no')),
        () => 'acme',
      ),
    ).rejects.toThrow(RangeError);
  });

  test('ends with 503 where something changes each time', async () => {
    const generations = new Generations();
    let count = 0;
    const deciding = decide(
      generations,
      async () => {
        count++;
        generations.changed('acme');
      },
      () => 'acme',
    );
    await expect(deciding).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
    expect(count).toBe(4);
  });
});
