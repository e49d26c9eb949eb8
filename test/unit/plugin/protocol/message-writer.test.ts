import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { expect, it } from 'vitest';
import { HandleRequestReply } from '#broker/plugin/proto/generated/backend.ts';
import { serialize } from '#broker/plugin/protocol/message-writer.ts';

const reply = (data: string, warnings: string[] = []): HandleRequestReply => ({ response: { data, warnings }, err: undefined });
const written = (message: HandleRequestReply): Uint8Array => serialize(message, HandleRequestReply);

it('writes what the generated code writes, one message after the other, and never into one that is handed out', () => {
  const messages = [reply('{"a":1}'), reply(''), reply('ä'.repeat(200), ['w', 'x'.repeat(130)]), reply('y'.repeat(1_000_000)), reply('z')];
  const bytes = [...messages, ...messages].map(written);
  expect(bytes).toEqual([...messages, ...messages].map((message) => HandleRequestReply.encode(message).finish()));
});

it('goes on clean after a message that could not be written', () => {
  written(reply('before'));
  expect(() =>
    serialize(reply('half'), {
      encode(message, writer) {
        HandleRequestReply.encode(message, writer).uint32(10).fork();
        throw new Error('in the middle');
      },
    }),
  ).toThrow('in the middle');
  expect(written(reply('after'))).toEqual(HandleRequestReply.encode(reply('after'), new BinaryWriter()).finish());
});
