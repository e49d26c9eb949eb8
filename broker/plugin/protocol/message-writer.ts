import { BinaryWriter } from '@bufbuild/protobuf/wire';

/** Longest message whose writer is kept, bytes. */
const KEPT = 65_536;

/** What the generated code has of each message. */
interface Codec<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

let kept: BinaryWriter | undefined;

/**
 * As the generated code would, which takes a new writer for each message: its buffer grows by doubling, and that costs more than writing
 * the message. This one keeps its buffer.
 */
export function serialize<Message>(message: Message, codec: Codec<Message>): Uint8Array {
  const writer = kept ?? new BinaryWriter();
  // Where encoding throws, nobody gets what it has begun.
  kept = undefined;
  const bytes = codec.encode(message, writer).finish();
  if (bytes.length <= KEPT) kept = writer;
  return bytes;
}
