import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Reading } from '#broker/listener/reading.ts';
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
    const waiting = turns.take(undefined, () => ({ known, name }));
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

/** A connection of which nothing is read until it is told to, and what it was told. */
function connection(mayLeave = true) {
  const told: string[] = [];
  const socket = new Socket();
  const reading = new Reading(socket, () => mayLeave);
  vi.spyOn(reading, 'stop').mockImplementation(() => told.push('stop'));
  vi.spyOn(reading, 'start').mockImplementation(() => told.push('start'));
  return { reading, told };
}

test('of a party that waits already a connection is left unread until its turn, and what it asks in that turn begins at once', async () => {
  const s = stage();
  const flood = { known: true, name: 'flood' };
  void s.askMany(100, 'flood');
  const [one, trusted] = [connection(), connection(false)];
  for (const { reading } of [one, trusted]) s.turns.leaveUnread(reading, flood);
  expect([one.told, trusted.told, s.turns.waiting]).toEqual([['stop'], [], 69]);
  // Those before it go first.
  void s.askMany(100, 'flood');
  for (let turns = 0; one.told.length === 1 && turns < 100; turns++) await turn();
  expect(one.told).toEqual(['stop', 'start']);
  expect(s.turns.waiting).toBeGreaterThan(0);
  expect(s.turns.take(one.reading, () => flood)).toBeUndefined();
  // That was its turn: the next one waits again.
  expect(s.turns.take(one.reading, () => flood)).toBeInstanceOf(Promise);
});

test('a connection by which a client asks that waits for nothing is not left for another that does', () => {
  const s = stage();
  void s.askMany(100, 'flood');
  const { reading, told } = connection();
  s.turns.leaveUnread(reading, { known: true, name: 'quiet' });
  s.turns.leaveUnread(reading, { known: true, name: 'flood' });
  expect(told).toEqual([]);
});

test('its turn is over when its client did not ask in it', async () => {
  const s = stage();
  const flood = { known: true, name: 'flood' };
  void s.askMany(100, 'flood');
  const { reading, told } = connection();
  s.turns.leaveUnread(reading, flood);
  for (let turns = 0; told.length === 1 && turns < 100; turns++) {
    void s.askMany(70, 'flood');
    await turn();
  }
  void s.askMany(200, 'flood');
  await turn();
  expect(s.turns.waiting).toBeGreaterThan(0);
  expect(s.turns.take(reading, () => flood)).toBeInstanceOf(Promise);
});

test('a connection of a party that does not wait is read on', () => {
  const s = stage();
  void s.askMany(100, 'flood');
  const { reading, told } = connection();
  s.turns.leaveUnread(reading, { known: true, name: 'quiet' });
  // A stranger of that name is another.
  s.turns.leaveUnread(reading, { known: false, name: 'flood' });
  expect(told).toEqual([]);
});

test('what was left unread for too long is shed when it is read, as long as its line stands', async () => {
  const s = stage();
  const flood = { known: true, name: 'flood' };
  void s.askMany(50, 'flood');
  const all = Array.from({ length: 400 }, () => connection());
  for (const { reading } of all) s.turns.leaveUnread(reading, flood);
  let [served, shed] = [0, 0];
  for (let ms = 0; ms < 10_000; ms += 10) {
    s.clock.advance(10);
    await turn();
    // Each asks at once when it is read, and again when it has its answer.
    for (const { reading, told } of all) {
      if (told.at(-1) !== 'start') continue;
      try {
        expect(s.turns.take(reading, () => flood)).toBeUndefined();
        served++;
      } catch (error) {
        expect(error).toBeInstanceOf(Overloaded);
        shed++;
      }
      s.turns.leaveUnread(reading, flood);
    }
  }
  expect(shed).toBeGreaterThan(0);
  expect(served).toBeGreaterThan(shed);
  expect(s.counts.shed).toBe(shed + s.errors.length);
});

test('who has nothing waiting begins at once though others wait, but only a few in each turn', async () => {
  const s = stage();
  void s.askMany(200, 'flood');
  const newcomers = Array.from({ length: 10 }, (_, n) => s.ask(`quiet-${n}`));
  expect(newcomers.filter((one) => one === undefined)).toHaveLength(4);
  await Promise.all(newcomers.filter((one) => one !== undefined));
  void s.askMany(200, 'flood');
  await turn();
  expect(s.turns.waiting).toBeGreaterThan(0);
  expect(s.ask('quiet-10')).toBeUndefined();
  // Of the flood none does.
  expect(s.ask('flood')).toBeInstanceOf(Promise);
});

test('a probe by a connection of its own begins at once whoever waits, as long as such are few', async () => {
  const s = stage();
  const stranger = () => ({ known: false, name: '192.0.2.1' });
  void s.askMany(200, '192.0.2.1', false);
  const probes = Array.from({ length: 10 }, () => s.turns.take(undefined, stranger, 'new'));
  expect(probes.filter((one) => one === undefined)).toHaveLength(4);
  expect(s.turns.take(undefined, stranger, 'kept')).toBeInstanceOf(Promise);
  await turn();
  expect(s.turns.waiting).toBeGreaterThan(0);
  expect(s.turns.take(undefined, stranger, 'new')).toBeUndefined();
});

test('no probe is shed, however long it has waited', async () => {
  const s = stage();
  const stranger = () => ({ known: false, name: '192.0.2.1' });
  const { reading, told } = connection();
  s.turns.leaveUnread(reading, stranger());
  for (let ms = 0; ms < 5_000; ms += 10) {
    void s.askMany(200, '192.0.2.1', false);
    const probe = s.turns.take(undefined, stranger, 'kept');
    probe?.catch(() => s.order.push('shed'));
    s.turns.leaveUnread(reading, stranger());
    s.clock.advance(10);
    await turn();
    if (told.at(-1) === 'start') expect(s.turns.take(reading, stranger, 'kept')).toBeUndefined();
  }
  expect(s.counts.shed).toBeGreaterThan(0);
  expect(s.order).not.toContain('shed');
});

test('in a turn in which a connection was accepted one begins of those that wait: the next is accepted in the next turn', async () => {
  const s = stage();
  void s.askMany(100, 'flood');
  s.turns.accepted();
  await turn();
  expect(s.order.length).toBe(32 + 1);
  await turn();
  expect(s.order.length).toBeGreaterThanOrEqual(32 + 1 + 4);
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
