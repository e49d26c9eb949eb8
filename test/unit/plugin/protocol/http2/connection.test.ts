import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frame, frameOf, settings } from '#broker/plugin/protocol/http2/frame.ts';
import { HpackDecoder } from '#broker/plugin/protocol/http2/hpack-decoder.ts';
import { HEAD, PREFACE, Peer, REQUEST, TRAILERS, data, headers, window } from './peer.ts';
import type { Call } from './peer.ts';

const EIGHT = Buffer.from('0102030405060708', 'hex');
const SERVER_SAYS = ['SETTINGS', `WINDOW 0 ${64 * 1024 * 1024 - 65_535}`];
const answering =
  (body: Buffer) =>
  ({ stream }: Call): void =>
    stream.answer(HEAD, body, TRAILERS);
const echo = ({ stream, bytes }: Call): void => stream.answer(HEAD, Buffer.concat(bytes), TRAILERS);

describe('a connection', () => {
  it('says hello first, takes settings, answers pings, and nothing else', async () => {
    const peer = new Peer();
    await turn();
    expect(peer.said).toEqual(SERVER_SAYS);
    await peer.send(
      PREFACE,
      settings([
        [1, 0],
        [3, 1],
        [99, 7],
      ]),
      frame(4, 1, 0, Buffer.alloc(0)),
      frame(6, 0, 0, EIGHT),
      frame(6, 1, 0, EIGHT),
    );
    await peer.send(frame(2, 0, 1, Buffer.alloc(5)), frame(99, 255, 3, EIGHT), frame(7, 0, 0, EIGHT));
    expect(peer.said).toEqual([...SERVER_SAYS, 'SETTINGS ACK', 'PING ACK 0102030405060708']);
    expect(peer.wire.destroyed).toBe(false);
  });

  it('answers a call in one write, and all calls of one turn in one', async () => {
    const peer = await Peer.greeted(undefined, echo);
    await peer.send(headers(1), data(1, 'ab'), data(1, 'cd', 1));
    expect(peer.said).toEqual(['HEADERS 1', 'DATA 1 4', 'HEADERS 1 END']);
    const [first, body, last] = peer.frames;
    const decoder = new HpackDecoder();
    expect(decoder.decode(first!.payload)).toEqual([{ name: ':status', value: '200' }]);
    expect(body!.payload.toString()).toBe('abcd');
    expect(decoder.decode(last!.payload)).toEqual([{ name: 'grpc-status', value: '0' }]);
    expect(peer.wire.writes).toHaveLength(1);
    expect(peer.calls[0]!.events).toBe('end close ');
    peer.forget();
    await peer.send(...[3, 5, 7].flatMap((id) => [headers(id), data(id, String(id), 1)]), frame(6, 0, 0, EIGHT));
    expect(peer.frames.filter(({ type }) => type === 0).map(({ id, payload }) => `${id} ${payload.toString()}`)).toEqual([
      '3 3',
      '5 5',
      '7 7',
    ]);
    expect(peer.wire.writes).toHaveLength(1);
  });

  it('takes headers in pieces, padded, with a priority, and the whole call with them', async () => {
    const peer = await Peer.greeted(undefined, echo);
    const padded = Buffer.concat([Buffer.of(3), Buffer.alloc(5), REQUEST, Buffer.alloc(3)]);
    await peer.send(headers(1, 4 | 8 | 32, padded), frame(0, 1 | 8, 1, Buffer.from([2, 0x61, 0, 0])));
    await peer.send(headers(3, 1, REQUEST.subarray(0, 3)), frame(9, 0, 3, REQUEST.subarray(3, 5)), frame(9, 4, 3, REQUEST.subarray(5)));
    await peer.send(headers(5, 4, REQUEST), frame(0, 8, 5, Buffer.of(0)), headers(5, 5, Buffer.from(TRAILERS)));
    expect(peer.said.filter((line) => line.startsWith('DATA'))).toEqual(['DATA 1 1', 'DATA 3 0', 'DATA 5 0']);
    expect(peer.calls.map((call) => call.headers.get(':path'))).toEqual(['/a/B', '/a/B', '/a/B']);
    expect(peer.calls.map(({ events }) => events)).toEqual(['end close ', 'end close ', 'end close ']);
  });

  it('tells a call that it was taken back, and sends nothing more of it', async () => {
    const peer = await Peer.greeted();
    await peer.send(headers(1), data(1, 'a', 1), headers(3), frameOf(3, 1, 8), frameOf(3, 1, 8));
    expect(peer.calls.map(({ events }) => events)).toEqual(['end close ', '']);
    for (const { stream } of peer.calls) {
      stream.answer(HEAD, Buffer.alloc(0), TRAILERS);
      stream.begin(HEAD);
      stream.end(TRAILERS);
    }
    await peer.send(data(1, 'late'), window(1, 5), headers(1, 5));
    expect(peer.said).toEqual(['HEADERS 3', 'DATA 3 0', 'HEADERS 3 END']);
    expect(peer.calls).toHaveLength(2);
  });

  it('waits for the caller after an early answer, but does not listen', async () => {
    const peer = await Peer.greeted(({ stream }) => stream.end(HEAD));
    await peer.send(headers(1), data(1, 'x'.repeat(100)));
    expect(peer.said).toEqual(['HEADERS 1 END']);
    expect(peer.calls[0]).toMatchObject({ bytes: [], events: '' });
    await peer.send(data(1, 'y', 1));
    expect(peer.calls[0]).toMatchObject({ bytes: [], events: 'close ' });
  });

  it('closes all calls with the connection, however it ends', async () => {
    for (const end of ['destroy', 'end', 'broken'] as const) {
      const peer = await Peer.greeted();
      await peer.send(headers(1), headers(3));
      if (end === 'destroy') peer.connection.destroy();
      else if (end === 'end') peer.wire.push(null);
      else await peer.send(data(0, ''));
      for (let turns = 0; turns < 5; turns++) await turn();
      expect(peer.calls.map(({ events }) => events)).toEqual(['close ', 'close ']);
      expect(peer.wire.destroyed).toBe(true);
    }
  });

  it('gives the caller room again: of a call, and of all', async () => {
    const peer = await Peer.greeted();
    const chunk = Buffer.alloc(16_384);
    await peer.send(headers(1));
    for (let sent = 0; sent < 64; sent++) await peer.send(data(1, chunk));
    expect(peer.said).toEqual([`WINDOW 1 ${512 * 1024}`, `WINDOW 1 ${512 * 1024}`]);
    expect(Buffer.concat(peer.calls[0]!.bytes)).toHaveLength(1024 * 1024);
    peer.forget();
    for (let call = 0; call < 31; call++) {
      const id = 2 * call + 3;
      await peer.send(headers(id), ...Array.from({ length: 64 }, () => data(id, chunk)));
    }
    expect(peer.said.filter((line) => line.startsWith('WINDOW 0'))).toEqual([`WINDOW 0 ${32 * 1024 * 1024}`]);
  });

  it('reads nothing more from who does not read', async () => {
    const peer = await Peer.greeted();
    peer.wire.stuck = true;
    const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame(6, 0, 0, EIGHT)));
    let sent = 0;
    while (!peer.wire.isPaused() && sent++ < 1_000) await peer.send(pings);
    expect(peer.wire.isPaused()).toBe(true);
    expect(peer.wire.writableLength).toBeLessThan(4.1 * 1024 * 1024);
    peer.wire.readAll();
    for (let turns = 0; turns < 5; turns++) await turn();
    expect(peer.wire.isPaused()).toBe(false);
    peer.forget();
    await peer.send(frame(6, 0, 0, EIGHT));
    expect(peer.said).toEqual(['PING ACK 0102030405060708']);
  });
});

describe('windows of the peer', () => {
  const body = Buffer.alloc(100, 'x');

  it('of a call: no more is sent than it takes', async () => {
    const peer = new Peer(undefined, answering(body));
    await peer.send(PREFACE, settings([[4, 30]]), headers(1, 5));
    expect(peer.said.slice(3)).toEqual(['HEADERS 1', 'DATA 1 30']);
    peer.forget();
    await peer.send(window(1, 20));
    expect(peer.said).toEqual(['DATA 1 20']);
    // Smaller for all: this call owes the peer 20 by now.
    await peer.send(settings([[4, 10]]), window(1, 20));
    await peer.send(headers(3, 5));
    expect(peer.said).toEqual(['DATA 1 20', 'SETTINGS ACK', 'HEADERS 3', 'DATA 3 10']);
    peer.forget();
    await peer.send(settings([[4, 100]]));
    expect(peer.said).toEqual(['SETTINGS ACK', 'DATA 1 50', 'HEADERS 1 END', 'DATA 3 90', 'HEADERS 3 END']);
    expect(peer.calls.map(({ events }) => events)).toEqual(['end close ', 'end close ']);
  });

  it('of all calls: those that wait take turns, and those taken back do not', async () => {
    const large = Buffer.alloc(60_000, 'x');
    const peer = await Peer.greeted(undefined, answering(large));
    await peer.send(...[1, 3, 5, 7].map((id) => headers(id, 5)));
    expect(peer.said.filter((line) => line.startsWith('DATA'))).toEqual([
      'DATA 1 16384',
      'DATA 1 16384',
      'DATA 1 16384',
      'DATA 1 10848',
      'DATA 3 5535',
    ]);
    peer.forget();
    await peer.send(frameOf(3, 5, 8), window(0, 40_000));
    expect(peer.said).toEqual(['DATA 3 16384', 'DATA 7 16384', 'DATA 3 7232']);
    peer.forget();
    await peer.send(window(0, 1_000_000));
    expect(peer.said.filter((line) => !line.startsWith('DATA'))).toEqual(['HEADERS 3 END', 'HEADERS 7 END']);
    const sizes = peer.frames.filter(({ type }) => type === 0).reduce((sum, { payload }) => sum + payload.length, 0);
    expect(sizes).toBe(120_000 - 5_535 - 40_000);
  });

  it('of frames: larger ones go where the peer takes them', async () => {
    const peer = new Peer(undefined, answering(Buffer.alloc(60_000)));
    await peer.send(PREFACE, settings([[5, 50_000]]), headers(1, 5));
    expect(peer.said.slice(3)).toEqual(['HEADERS 1', 'DATA 1 50000', 'DATA 1 10000', 'HEADERS 1 END']);
  });

  it('a small answer fits where a large one of another call waits for its own window', async () => {
    const peer = new Peer(undefined, ({ stream }) => stream.answer(HEAD, Buffer.alloc(stream.id === 1 ? 50 : 5), TRAILERS));
    await peer.send(PREFACE, settings([[4, 10]]), headers(1, 5), headers(3, 5));
    expect(peer.said.slice(3)).toEqual(['HEADERS 1', 'DATA 1 10', 'HEADERS 3', 'DATA 3 5', 'HEADERS 3 END']);
  });

  it('by chance: all arrives, and never more than was allowed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(40_000), { minLength: 1, maxLength: 6 }),
        fc.array(fc.record({ id: fc.nat(6), by: fc.integer({ min: 1, max: 30_000 }) }), { maxLength: 15 }),
        fc.array(fc.nat(50_000), { maxLength: 3 }),
        async (bodies, grants, sizes) => {
          const peer = await Peer.greeted(undefined, ({ stream }) =>
            stream.answer(HEAD, Buffer.alloc(bodies[(stream.id - 1) / 2]!, 'x'), TRAILERS),
          );
          let all = 65_535;
          let initial = 65_535;
          const own = new Map(bodies.map((_, index) => [2 * index + 1, 0]));
          const sum = (id?: number): number =>
            peer.frames
              .filter((seen) => seen.type === 0 && (id === undefined || seen.id === id))
              .reduce((length, { payload }) => length + payload.length, 0);
          let largest = initial;
          for (const [index, size] of sizes.entries()) {
            await peer.send(settings([[4, size]]));
            initial = size;
            largest = index === sizes.length - 1 ? size : largest;
          }
          await peer.send(...[...own.keys()].map((id) => headers(id, 5)));
          for (const { id, by } of grants) {
            const stream = id === 0 ? 0 : [...own.keys()][(id - 1) % own.size]!;
            if (stream === 0) all += by;
            else own.set(stream, own.get(stream)! + by);
            await peer.send(window(stream, by));
            expect(sum()).toBeLessThanOrEqual(all);
            for (const [one, more] of own) expect(sum(one)).toBeLessThanOrEqual(initial + more);
          }
          for (const id of own.keys()) await peer.send(window(id, 50_000));
          await peer.send(window(0, 1_000_000));
          expect([...own.keys()].map(sum)).toEqual(bodies);
          expect(peer.said.filter((line) => line.endsWith('END'))).toHaveLength(bodies.length);
          expect(peer.calls.every(({ events }) => events === 'end close ')).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('broken off is one call alone', () => {
  it.each<[string, Buffer[], string]>([
    ['data after its end', [headers(1, 5), data(1, 'x')], 'RST 1 5'],
    ['headers after its end', [headers(1, 5), headers(1, 5)], 'RST 1 5'],
    ['second headers that do not end it', [headers(1), headers(1)], 'RST 1 1'],
    ['a window that grows by nothing', [headers(1), window(1, 0)], 'RST 1 1'],
    ['a window that grows too large', [headers(1), window(1, 2 ** 31 - 1)], 'RST 1 3'],
  ])('%s', async (_case, pieces, expected) => {
    const peer = await Peer.greeted();
    await peer.send(...pieces, frame(6, 0, 0, EIGHT));
    expect(peer.said).toEqual([expected, 'PING ACK 0102030405060708']);
    expect(peer.calls[0]!.events).toMatch(/close $/);
    expect(peer.wire.destroyed).toBe(false);
  });

  it('and more calls at once than we take', async () => {
    const peer = await Peer.greeted();
    for (let id = 1; id < 2 * 65_536; id += 2048) await peer.send(...Array.from({ length: 1024 }, (_, index) => headers(id + 2 * index)));
    expect(peer.calls).toHaveLength(65_536);
    await peer.send(headers(2 * 65_536 + 1));
    expect(peer.said).toEqual([`RST ${2 * 65_536 + 1} 7`]);
    await peer.send(frameOf(3, 1, 8), headers(2 * 65_536 + 3));
    expect(peer.calls).toHaveLength(65_537);
  });
});

describe('what breaks the protocol ends the connection', () => {
  const nothing = Buffer.alloc(0);
  it.each<[string, Buffer[], number]>([
    ['a frame that is too long', [data(1, Buffer.alloc(16_385))], 6],
    ['headers of no call', [headers(0)], 1],
    ['headers of an even id', [headers(2)], 1],
    ['data of no call', [data(0, 'x')], 1],
    ['data of a call that has not begun', [data(1, 'x')], 1],
    ['data of an even id', [headers(3), data(2, 'x')], 1],
    ['a reset of a call that has not begun', [frameOf(3, 1, 8)], 1],
    ['a reset of another length', [headers(1), frame(3, 0, 1, EIGHT)], 6],
    ['a window of a call that has not begun', [window(1, 1)], 1],
    ['a window of another length', [frame(8, 0, 0, EIGHT)], 6],
    ['a window of all that grows by nothing', [window(0, 0)], 1],
    ['a window of all that is too large', [window(0, 2 ** 31 - 1)], 3],
    ['settings of a call', [frame(4, 0, 1, nothing)], 1],
    ['settings of another length', [frame(4, 0, 0, EIGHT)], 6],
    ['an acknowledgement with settings', [frame(4, 1, 0, Buffer.alloc(6))], 6],
    ['a window that is impossible', [settings([[4, 2 ** 31]])], 3],
    ['a window that makes that of a call impossible', [headers(1), window(1, 2 ** 31 - 1 - 65_535), settings([[4, 65_536]])], 3],
    ['a frame size that is too small', [settings([[5, 16_383]])], 1],
    ['a frame size that is too large', [settings([[5, 2 ** 24]])], 1],
    ['a setting that is a yes or no', [settings([[2, 2]])], 1],
    ['a ping of a call', [frame(6, 0, 1, EIGHT)], 1],
    ['a ping of another length', [frame(6, 0, 0, nothing)], 6],
    ['a goodbye of a call', [frame(7, 0, 1, EIGHT)], 1],
    ['a goodbye that is too short', [frame(7, 0, 0, nothing)], 6],
    ['a priority of no call', [frame(2, 0, 0, Buffer.alloc(5))], 1],
    ['a priority of another length', [frame(2, 0, 1, EIGHT)], 6],
    ['a push', [frame(5, 4, 1, EIGHT)], 1],
    ['a continuation of nothing', [frame(9, 4, 1, REQUEST)], 1],
    ['a continuation of another call', [headers(1, 0), frame(9, 4, 3, nothing)], 1],
    ['another frame within headers', [headers(1, 0), frame(6, 0, 0, EIGHT)], 1],
    ['headers that can not be read', [headers(1, 4, Buffer.of(0x80))], 9],
    ['headers of a call that is over that can not be read', [headers(3), headers(1, 4, Buffer.of(0x80))], 9],
    ['padding without a length', [headers(1), frame(0, 8, 1, nothing)], 6],
    ['more padding than data', [headers(1), frame(0, 8, 1, Buffer.from([3, 0, 0]))], 1],
    ['a priority that is cut off', [headers(1, 4 | 32, Buffer.alloc(4))], 6],
    [
      'more headers than we take',
      [headers(1, 0, Buffer.alloc(16_384)), ...Array.from({ length: 4 }, () => frame(9, 0, 1, Buffer.alloc(16_384)))],
      11,
    ],
    ['headers in more pieces than we take', [headers(1, 0, nothing), ...Array.from({ length: 64 }, () => frame(9, 0, 1, nothing))], 11],
  ])('%s', async (_case, pieces, code) => {
    const peer = await Peer.greeted();
    await peer.send(...pieces, frame(6, 0, 0, EIGHT));
    const last = peer.calls.at(-1)?.stream.id ?? 0;
    expect(peer.said).toEqual([...peer.said.filter((line) => line === 'SETTINGS ACK'), `GOAWAY ${last} ${code}`]);
    expect(peer.wire.destroyed).toBe(true);
    expect(peer.calls.every(({ events }) => events === 'close ')).toBe(true);
  });

  it('no HTTP/2 at all, and no settings first', async () => {
    for (const pieces of [[Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')], [PREFACE, headers(1)]]) {
      const peer = new Peer();
      await peer.send(...pieces);
      expect(peer.said).toEqual([...SERVER_SAYS, 'GOAWAY 0 1']);
      expect(peer.wire.destroyed).toBe(true);
    }
  });

  it('by chance: whatever comes, nothing is thrown, each call is closed once, and no answer is cut', async () => {
    const type = fc.integer({ min: 0, max: 10 });
    const id = fc.constantFrom(0, 1, 2, 3, 5, 7);
    const payload = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constant(new Uint8Array(REQUEST)), fc.constant(new Uint8Array(EIGHT)));
    const any = fc.tuple(type, fc.nat(255), id, payload).map(([kind, flags, of, bytes]) => frame(kind, flags, of, bytes));
    const good = fc.constantFrom(
      headers(1, 5),
      headers(3),
      data(3, 'x'),
      data(3, '', 1),
      headers(5, 5),
      settings([[4, 3]]),
      window(0, 7),
      window(1, 7),
    );
    const mangled = fc.tuple(good, fc.nat(40), fc.nat(255)).map(([bytes, at, byte]) => {
      const copy = Buffer.from(bytes);
      if (at < copy.length) copy[at] = byte;
      return copy;
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(any, good, mangled), { maxLength: 12 }),
        fc.array(fc.nat(300), { maxLength: 4 }),
        async (frames, cuts) => {
          const peer = await Peer.greeted(undefined, echo);
          const bytes = Buffer.concat(frames);
          const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
          for (let index = 1; index < at.length; index++)
            if (!peer.wire.destroyed) await peer.send(bytes.subarray(at[index - 1]!, at[index]!));
          peer.connection.destroy();
          for (let turns = 0; turns < 3; turns++) await turn();
          for (const { events } of peer.calls) expect(events).toMatch(/^(end )?close $/);
          expect(peer.said.filter((line) => line.startsWith('?'))).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
  });
});
