import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Connections } from '#broker/listener/connections.ts';
import type { Connection, ConnectionsOptions } from '#broker/listener/connections.ts';
import { Reading } from '#broker/listener/reading.ts';
import { Clock } from '#test/unit/credential/clock.ts';

class FakeSocket extends EventEmitter {
  destroyed = false;
  writableEnded = false;
  readonly remoteAddress: string;

  constructor(address: string) {
    super();
    this.remoteAddress = address;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

type Answer = Pick<ServerResponse, 'writableEnded' | 'writableFinished' | 'destroyed'>;
const asked = (connection: Connection, answer: Partial<Answer>): void =>
  void (
    connection.asked++,
    (connection.last = { writableEnded: false, writableFinished: false, destroyed: false, ...answer } as unknown as ServerResponse)
  );
const busy = (connection: Connection): void => asked(connection, {});
const answered = (connection: Connection): void => asked(connection, { writableEnded: true, writableFinished: true });
const unread = (connection: Connection): void => asked(connection, { writableEnded: true });

function stage(options: Partial<ConnectionsOptions> = {}) {
  const clock = new Clock();
  const connections = new Connections({
    max: 100,
    maxPerAddress: 10,
    unreadMs: 10_000,
    idleMs: 65_000,
    crowdedIdleMs: 5_000,
    monotonic: clock.monotonic,
    ...options,
  });
  const open = (address: string): Connection | undefined => connections.add(new FakeSocket(address) as unknown as Socket);
  const openMany = (count: number, address: (n: number) => string) =>
    Array.from({ length: count }, (_, n) => open(address(n))).filter((one) => one !== undefined);
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 1000) {
      clock.advance(1000);
      connections.sweep();
    }
  };
  return { clock, connections, open, openMany, pass };
}
const closed = (all: readonly Connection[]): number => all.filter(({ socket }) => socket.destroyed).length;

describe('limits of a network', () => {
  test.each([
    ['one IPv4 address', 10, () => '192.0.2.7'],
    ['one IPv4 address, however spelt', 10, (n: number) => (n % 2 ? '192.0.2.7' : '::ffff:192.0.2.7')],
    ['one /64', 10, (n: number) => `2001:db8:1:2:${n.toString(16)}::1`],
    ['many /64s of one /56', 20, (n: number) => `2001:db8:1:2${n.toString(16).padStart(2, '0')}::1`],
    ['many /56s of one /48', 30, (n: number) => `2001:db8:1:${n.toString(16).padStart(2, '0')}00::1`],
    ['many /48s', 60, (n: number) => `2001:db8:${n.toString(16)}::1`],
    ['many IPv4 addresses', 60, (n: number) => `192.0.2.${n}`],
  ])('%s: %i of 60', (_name, most, address) => {
    const s = stage();
    const all = s.openMany(60, address);
    expect([all.length, s.connections.size]).toEqual([most, most]);
  });

  test('a proxy of ours has none', () => {
    const s = stage({ isTrusted: (address) => address === '10.0.0.1' });
    expect(s.openMany(60, () => '10.0.0.1')).toHaveLength(60);
    expect(s.openMany(60, () => '10.0.0.2')).toHaveLength(10);
  });

  test('a fifth of all by default, and 64 at least', () => {
    expect(stage({ max: 1000, maxPerAddress: undefined }).openMany(1000, () => '192.0.2.7')).toHaveLength(200);
    expect(stage({ max: 100, maxPerAddress: undefined }).openMany(1000, () => '192.0.2.7')).toHaveLength(64);
  });

  test('a newcomer gets the place of one of the same network that does nothing, and of no other', () => {
    const s = stage();
    const other = s.open('198.51.100.1')!;
    const all = s.openMany(10, () => '192.0.2.7');
    expect(s.open('192.0.2.7')).toBeUndefined();
    s.clock.advance(250);
    expect(s.open('192.0.2.7')).toBeDefined();
    expect([closed(all), other.socket.destroyed]).toEqual([1, false]);
  });

  test('those that are at work, or were answered just now, are not closed for it', () => {
    const s = stage();
    const all = s.openMany(10, () => '192.0.2.7');
    for (const one of all.slice(1)) busy(one);
    answered(all[0]!);
    s.clock.advance(1000);
    s.connections.sweep();
    for (const one of all.slice(0, 1)) busy(one);
    expect(s.open('192.0.2.7')).toBeUndefined();
    unread(all[0]!);
    expect(s.open('192.0.2.7')).toBeUndefined();
    answered(all[0]!);
    expect(s.open('192.0.2.7')).toBeDefined();
    expect(all[0]!.socket.destroyed).toBe(true);
  });

  test('those that never asked go before those that were served, and the longest idle before the others', () => {
    const s = stage();
    const all = s.openMany(10, () => '192.0.2.7');
    for (const one of all.slice(0, 9)) answered(one);
    s.pass(1000);
    answered(all[0]!);
    s.pass(1000);
    for (const nth of [9, 1, 2]) {
      s.open('192.0.2.7');
      expect(all[nth]!.socket.destroyed).toBe(true);
    }
    expect(all[0]!.socket.destroyed).toBe(false);
  });
});

describe('the limit of all', () => {
  test('a newcomer gets a place of the network that has most', () => {
    const s = stage({ max: 30 });
    const crowd = s.openMany(30, () => '192.0.2.7');
    const others = s.openMany(20, (n) => `198.51.100.${n}`);
    expect([crowd.length, others.length]).toEqual([10, 20]);
    s.clock.advance(1000);
    expect(s.open('203.0.113.1')).toBeDefined();
    expect([s.connections.size, closed(crowd), closed(others)]).toEqual([30, 1, 0]);
  });

  test('where all are at work, it gets none', () => {
    const s = stage({ max: 30 });
    for (const one of s.openMany(30, (n) => `198.51.100.${n}`)) busy(one);
    s.clock.advance(60_000);
    expect(s.open('203.0.113.1')).toBeUndefined();
  });
});

describe('a sweep', () => {
  test('closes none that is left unread: it may have asked something', () => {
    const s = stage();
    const [one, other] = s.openMany(2, () => '192.0.2.7');
    for (const connection of [one!, other!]) answered(connection);
    one!.reading = new Reading(one!.socket, () => true);
    one!.reading.left = true;
    s.pass(300_000);
    expect([one!.socket.destroyed, other!.socket.destroyed]).toEqual([false, true]);
    one!.reading.left = false;
    s.pass(70_000);
    expect(one!.socket.destroyed).toBe(true);
  });

  test('closes whose answer lies unread for 10 s, and no connection that is at work', () => {
    const s = stage();
    const [one, other] = s.openMany(2, () => '192.0.2.7');
    unread(one!);
    busy(other!);
    s.pass(10_000);
    expect(one!.socket.destroyed).toBe(false);
    s.pass(1000);
    expect([one!.socket.destroyed, other!.socket.destroyed]).toEqual([true, false]);
    s.pass(300_000);
    expect(other!.socket.destroyed).toBe(false);
  });

  test('every answer has its own 10 s', () => {
    const s = stage();
    const [one] = s.openMany(1, () => '192.0.2.7');
    for (let n = 0; n < 10; n++) {
      unread(one!);
      s.pass(9000);
    }
    expect(one!.socket.destroyed).toBe(false);
  });

  test('closes who was told the end and does not end it', () => {
    const s = stage();
    const [one] = s.openMany(1, () => '192.0.2.7');
    (one!.socket as unknown as FakeSocket).writableEnded = true;
    s.pass(7000);
    expect(one!.socket.destroyed).toBe(true);
  });

  test('idle: 65 s; 5 s where half of all places are taken, but for a proxy of ours', () => {
    const s = stage({ isTrusted: (address) => address === '10.0.0.1' });
    const few = [...s.openMany(10, (n) => `198.51.100.${n}`), ...s.openMany(1, () => '10.0.0.1')];
    for (const one of few) answered(one);
    s.pass(60_000);
    expect(closed(few)).toBe(0);
    const crowd = s.openMany(50, (n) => `203.0.113.${n}`);
    for (const one of crowd) answered(one);
    s.pass(1000);
    expect([closed(few), few.at(-1)!.socket.destroyed]).toEqual([10, false]);
    s.pass(6000);
    expect(closed(crowd)).toBeGreaterThan(0);
    s.pass(65_000);
    expect([closed(few), closed(crowd)]).toEqual([11, 50]);
  });
});

test('nothing of a connection that has ended is kept', () => {
  const s = stage();
  for (let round = 0; round < 20; round++) for (const { socket } of s.openMany(10, (n) => `2001:db8:${n}::1`)) socket.destroy();
  expect(s.connections.size).toBe(0);
  expect(s.openMany(60, () => '2001:db8:1::1')).toHaveLength(10);
});
