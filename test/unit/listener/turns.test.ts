import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turns } from '#broker/listener/turns.ts';
import { Overloaded } from '#broker/overloaded.ts';
import { Clock } from '#test/unit/credential/clock.ts';

function stage(waitMs = 500) {
  const clock = new Clock();
  const counts = { shed: 0, after: 0 };
  const turns = new Turns({ waitMs, now: clock.monotonic, onShed: () => counts.shed++, after: () => counts.after++ });
  const order: string[] = [];
  const errors: unknown[] = [];
  const ask = (name: string, known = true) => {
    const waiting = turns.take(() => ({ known, name }));
    if (waiting === undefined) order.push(name);
    else
      waiting.then(
        () => order.push(name),
        (error: unknown) => errors.push(error),
      );
    return waiting;
  };
  const askMany = (count: number, name: string, known = true) => Array.from({ length: count }, () => ask(name, known));
  return { clock, counts, turns, order, errors, ask, askMany };
}

test('the first of a turn begin at once, the rest in turns after it, all of them in the end', async () => {
  const s = stage();
  const waits = s.askMany(1000, 'acme').filter((one) => one !== undefined);
  expect([s.order.length, s.turns.waiting]).toEqual([1000 - waits.length, waits.length]);
  expect(s.order.length).toBe(32);
  await Promise.all(waits);
  expect([s.order.length, s.turns.waiting, s.counts.shed]).toEqual([1000, 0, 0]);
  await turn();
  await turn();
  // And the next turn begins anew.
  expect(s.ask('acme')).toBeUndefined();
});

test('who asks once goes before the many of another, a known client and a stranger alike', async () => {
  const s = stage();
  const flood = [...s.askMany(500, 'flood'), ...s.askMany(500, '192.0.2.1', false)];
  await Promise.all([s.ask('quiet'), s.ask('192.0.2.2', false)]);
  expect(s.order.filter((name) => name === 'quiet' || name === '192.0.2.2')).toHaveLength(2);
  expect(s.order.length).toBeLessThan(200);
  await Promise.all(flood.filter((one) => one !== undefined));
});

test('what is stale is shed with a 503 that says when to come again, and counted', async () => {
  const s = stage();
  for (let ms = 0; ms < 5_000; ms += 10) {
    void s.askMany(200, 'flood');
    s.clock.advance(10);
    await turn();
  }
  expect(s.counts.shed).toBeGreaterThan(0);
  expect(s.errors).toHaveLength(s.counts.shed);
  const [error] = s.errors as [Overloaded];
  expect(error).toBeInstanceOf(Overloaded);
  expect([error.status, error.retryAfter, error.at]).toEqual([503, 1, 'turn']);
});

test('replies of a turn are written within it', async () => {
  const s = stage();
  const waits = s.askMany(40, 'acme').filter((one) => one !== undefined);
  await Promise.all(waits);
  await turn();
  expect(s.counts.after).toBe(1);
});

test('0 turns it off', () => {
  const s = stage(0);
  expect(s.askMany(1000, 'acme').every((one) => one === undefined)).toBe(true);
});
