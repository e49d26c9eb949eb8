import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ConnectionError, frame, settings } from '#broker/plugin/protocol/http2/frame.ts';
import { FrameReader } from '#broker/plugin/protocol/http2/frame-reader.ts';
import { PREFACE, data, headers } from './peer.ts';

function read(chunks: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const reader = new FrameReader((type, flags, id, payload) => seen.push(`${type} ${flags} ${id} ${payload.toString('hex')}`));
  for (const chunk of chunks) reader.push(chunk);
  return seen;
}

const said = Buffer.concat([
  PREFACE,
  settings([[4, 100]]),
  headers(1),
  data(1, 'abc'),
  data(1, '', 1),
  frame(6, 0, 0, Buffer.alloc(8)),
  headers(3, 5),
]);
const whole = read([said]);

it('gives the same frames wherever what comes is cut', () => {
  expect(whole).toHaveLength(6);
  for (let first = 0; first <= said.length; first++) {
    expect(read([said.subarray(0, first), said.subarray(first)])).toEqual(whole);
    for (let second = first; second <= said.length; second += 7)
      expect(read([said.subarray(0, first), said.subarray(first, second), said.subarray(second)])).toEqual(whole);
  }
  expect(read([...said].map((byte) => Buffer.of(byte)))).toEqual(whole);
});

it('keeps a frame of the largest size that comes byte by byte', () => {
  const large = data(1, Buffer.alloc(16_384, 'x'));
  expect(read([PREFACE, ...[...large].map((byte) => Buffer.of(byte))])).toEqual(read([PREFACE, large]));
});

it('ignores the first bit of an id', () => {
  const reserved = data(1, 'abc');
  reserved[5] = 0x80;
  expect(read([PREFACE, reserved])).toEqual(['0 0 1 616263']);
});

it('refuses a longer frame at its head, and who speaks no HTTP/2 at the 24th byte', () => {
  expect(() => read([PREFACE, data(1, Buffer.alloc(16_385)).subarray(0, 9)])).toThrow(expect.objectContaining({ code: 6 }));
  expect(read([Buffer.from('GET / HTTP/1.1\r\nHost: a')])).toEqual([]);
  expect(() => read([Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n')])).toThrow(expect.objectContaining({ code: 1 }));
});

it('makes of any bytes frames or a ConnectionError', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      try {
        read([PREFACE, ...chunks.map((chunk) => Buffer.from(chunk))]);
      } catch (error) {
        expect(error).toBeInstanceOf(ConnectionError);
      }
    }),
  );
});
