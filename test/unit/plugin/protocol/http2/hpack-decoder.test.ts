import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Connection } from '#broker/plugin/protocol/http2/connection.ts';
import { ConnectionError } from '#broker/plugin/protocol/http2/frame.ts';
import type { Headers } from '#broker/plugin/protocol/http2/header.ts';
import { STATIC_TABLE } from '#broker/plugin/protocol/http2/header.ts';
import { HpackDecoder } from '#broker/plugin/protocol/http2/hpack-decoder.ts';
import { encodeHeaders } from '#broker/plugin/protocol/http2/hpack-encoder.ts';
import { HEAD, TRAILERS } from './peer.ts';

const read = (decoder: HpackDecoder, hex: string): string[] =>
  decoder.decode(Buffer.from(hex.replaceAll(' ', ''), 'hex')).map(({ name, value }) => `${name}: ${value}`);

/** The table is made 256 bytes large first, as the examples with responses have it. */
const SMALL = '3fe101';

const REQUESTS = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
  [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'],
];
const DATES = ['Mon, 21 Oct 2013 20:13:21 GMT', 'Mon, 21 Oct 2013 20:13:22 GMT'];
const RESPONSES = [
  [':status: 302', 'cache-control: private', `date: ${DATES[0]}`, 'location: https://www.example.com'],
  [':status: 307', 'cache-control: private', `date: ${DATES[0]}`, 'location: https://www.example.com'],
  [
    ':status: 200',
    'cache-control: private',
    `date: ${DATES[1]}`,
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];

/** https://www.rfc-editor.org/rfc/rfc7541#appendix-C */
describe('the examples of RFC 7541', () => {
  it.each([
    [
      'C.2.1, a literal that is indexed',
      ['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'],
      [['custom-key: custom-header']],
    ],
    ['C.2.2, one that is not', ['040c 2f73 616d 706c 652f 7061 7468'], [[':path: /sample/path']]],
    ['C.2.3, one that never is', ['1008 7061 7373 776f 7264 0673 6563 7265 74'], [['password: secret']]],
    ['C.2.4, an indexed field', ['82'], [[':method: GET']]],
    [
      'C.3, requests',
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
      REQUESTS,
    ],
    [
      'C.4, requests in the code of Huffman',
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
      REQUESTS,
    ],
    [
      'C.5, responses, with a table that throws out',
      [
        `${SMALL} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 ` +
          '474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '4803 3330 37c1 c0bf',
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d ' +
          '4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 ' +
          '7369 6f6e 3d31',
      ],
      RESPONSES,
    ],
    [
      'C.6, the same in the code of Huffman',
      [
        `${SMALL} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 ` +
          '63c7 8f0b 97c8 e9ae 82ae 43d3',
        '4883 640e ffc1 c0bf',
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf ' +
          'cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ],
      RESPONSES,
    ],
  ])('%s', (_case, blocks, expected) => {
    const decoder = new HpackDecoder();
    expect(blocks.map((block) => read(decoder, block))).toEqual(expected);
  });
});

describe('the dynamic table', () => {
  it('is emptied by one that is larger than it, and by a size of 0', () => {
    const decoder = new HpackDecoder();
    expect(read(decoder, '4001 61 01 62 be')).toEqual(['a: b', 'a: b']);
    // 3 + 4094 + 32 > 4096: a value of 4094 bytes.
    const large = Buffer.concat([Buffer.from('4003616161 7fff1e'.replaceAll(' ', ''), 'hex'), Buffer.alloc(4_094, 'x')]);
    expect(decoder.decode(large)).toEqual([{ name: 'aaa', value: 'x'.repeat(4_094) }]);
    expect(() => read(decoder, 'be')).toThrow(ConnectionError);
    const again = new HpackDecoder();
    read(again, '4001 61 01 62');
    expect(read(again, '20 82')).toEqual([':method: GET']);
    expect(() => read(again, 'be')).toThrow(ConnectionError);
  });

  it('holds 4096 bytes, each field with 32 more, newest first', () => {
    const decoder = new HpackDecoder();
    // 34 bytes each: 120 of them.
    for (let index = 0; index < 200; index++) read(decoder, `4001 61 01 ${(0x30 + (index % 70)).toString(16)}`);
    expect(read(decoder, 'be')).toEqual([`a: ${String.fromCodePoint(0x30 + (199 % 70))}`]);
    const oldest = (61 + 120 - 127).toString(16).padStart(2, '0');
    expect(read(decoder, `ff ${oldest}`)).toEqual([`a: ${String.fromCodePoint(0x30 + (80 % 70))}`]);
    expect(() => read(decoder, `ff ${(61 + 121 - 127).toString(16)}`)).toThrow(ConnectionError);
  });
});

describe('refused', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond the static table', 'be'],
    ['an index beyond all', 'ffff7f'],
    ['a name beyond all', '7f ff 7f 01 61'],
    ['an integer without an end', 'ff ff ff ff ff ff ff'],
    ['an integer cut off', 'ff'],
    ['a string cut off', '40 05 61 62'],
    ['a name and no value', '40 01 61'],
    ['nothing after a literal', '40'],
    ['a table larger than ours', '3f e2 1f'],
    ['a table size after a field', '82 20'],
    ['the end of a string within it', '00 01 61 84 ff ff ff ff'],
    ['padding of 8 bits', '00 01 61 82 1f ff'],
    ['padding of zeros', '00 01 61 81 00'],
  ])('%s', (_case, hex) => {
    expect(() => read(new HpackDecoder(), hex)).toThrow(expect.objectContaining({ name: 'ConnectionError', code: 9 }));
  });

  it('headers of more than 64 kB, by however few bytes', () => {
    const decoder = new HpackDecoder();
    const value = Buffer.concat([Buffer.from('40016e7fe01e', 'hex'), Buffer.alloc(4_063, 'x')]);
    expect(decoder.decode(value)[0]!.value).toHaveLength(4_063);
    expect(read(decoder, 'be'.repeat(16))).toHaveLength(16);
    expect(() => read(decoder, 'be'.repeat(17))).toThrow(expect.objectContaining({ code: 11 }));
  });

  it('any bytes give fields or a ConnectionError', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder();
        try {
          for (const block of blocks)
            for (const { name, value } of decoder.decode(Buffer.from(block))) expect(typeof (name + value)).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(ConnectionError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

it('reads what the encoder writes', () => {
  const fields = { ':status': '200', 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'x'.repeat(300), date: 'now' };
  for (const opening of [true, false])
    expect(new HpackDecoder().decode(encodeHeaders(fields, { opening }))).toEqual(
      Object.entries(fields).map(([name, value]) => ({ name, value })),
    );
});

it("reads what Node's own encoder writes, call after call on one connection", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hpack-'));
  let seen: Headers | undefined;
  const server = createServer((socket) => {
    void new Connection(socket, (stream, headers) => {
      seen = headers;
      return { data() {}, end: () => stream.answer(HEAD, Buffer.alloc(0), TRAILERS), close() {} };
    });
  }).listen(join(folder, 'socket'));
  await once(server, 'listening');
  const session = connectHttp2('http://localhost', { createConnection: () => connect(join(folder, 'socket')) });
  try {
    const known = STATIC_TABLE.map(({ name }) => name).filter((name) => /^[a-z]/.test(name));
    // Headers of which HTTP/2 has none, and those that Node takes only once.
    const name = fc.oneof(
      fc.constantFrom(...known.filter((one) => !['host', 'transfer-encoding', 'cookie', 'set-cookie'].includes(one))),
      fc.stringMatching(/^x-[a-z0-9-]{1,20}$/),
    );
    const visible = fc.string({
      unit: fc
        .integer({ min: 0x20, max: 0xff })
        .filter((one) => one !== 0x7f)
        .map((one) => String.fromCodePoint(one)),
    });
    const value = fc.oneof(visible, fc.stringMatching(/^[a-z0-9/=-]{0,300}$/)).map((text) => text.trim());
    const secret = fc.boolean();
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 12 }), secret, async (fields, sensitive) => {
        const stream = session.request({
          ':method': 'POST',
          ':path': '/a/B',
          ...fields,
          ...(sensitive ? { [Symbol.for('nodejs.http2.sensitiveHeaders')]: Object.keys(fields) } : {}),
        } as Record<string, string>);
        stream.end();
        stream.resume();
        await once(stream, 'close');
        expect(seen?.get(':path')).toBe('/a/B');
        for (const [key, text] of Object.entries(fields)) expect(seen?.get(key)).toBe(text);
        expect(seen?.get('nothing')).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  } finally {
    session.destroy();
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
});
