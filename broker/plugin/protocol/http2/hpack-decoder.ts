import { ConnectionError, ErrorCode } from './frame.ts';
import { STATIC_TABLE } from './header.ts';
import type { Field } from './header.ts';
import { decodeHuffman } from './huffman.ts';

/** Bytes of the dynamic table: what HTTP/2 begins with, and we ask for nothing else. */
const TABLE_SIZE = 4_096;
/** What each field counts beside its bytes. */
const OVERHEAD = 32;
/** Bytes of a call's headers, each with {@link OVERHEAD}. */
export const MAX_HEADER_LIST = 65_536;

/** Reads header blocks: https://www.rfc-editor.org/rfc/rfc7541 */
export class HpackDecoder {
  /** The dynamic table, a ring: a field takes {@link OVERHEAD} bytes at least. */
  readonly #ring: Field[] = [];
  #next = 0;
  #count = 0;
  #size = 0;
  #maxSize = TABLE_SIZE;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @throws {ConnectionError} */
  decode(block: Buffer): Field[] {
    this.#block = block;
    this.#at = 0;
    const fields: Field[] = [];
    let size = 0;
    while (this.#at < block.length) {
      const first = block[this.#at]!;
      let field: Field;
      if (first >= 0x80) field = this.#indexed(this.#integer(0x7f));
      else if (first >= 0x40) this.#add((field = this.#literal(0x3f)));
      else if (first < 0x20) field = this.#literal(0x0f);
      else if (fields.length === 0) {
        this.#resize(this.#integer(0x1f));
        continue;
      } else throw malformed();
      size += sizeOf(field);
      if (size > MAX_HEADER_LIST) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many headers');
      fields.push(field);
    }
    return fields;
  }

  #indexed(index: number): Field {
    if (index < STATIC_TABLE.length) {
      if (index === 0) throw malformed();
      return STATIC_TABLE[index]!;
    }
    const back = index - STATIC_TABLE.length + 1;
    if (back > this.#count) throw malformed();
    return this.#ring[(this.#next - back + SLOTS) % SLOTS]!;
  }

  #literal(mask: number): Field {
    const index = this.#integer(mask);
    const name = index === 0 ? this.#string() : this.#indexed(index).name;
    return { name, value: this.#string() };
  }

  /** https://www.rfc-editor.org/rfc/rfc7541#section-5.1; nothing that we take is longer than 28 bits. */
  #integer(mask: number): number {
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }

  #string(): string {
    const huffman = this.#at < this.#block.length && this.#block[this.#at]! >= 0x80;
    const length = this.#integer(0x7f);
    const from = this.#at;
    const to = from + length;
    if (to > this.#block.length) throw malformed();
    this.#at = to;
    const text = huffman ? decodeHuffman(this.#block, from, to) : this.#block.toString('latin1', from, to);
    if (text === undefined) throw malformed();
    return text;
  }

  #byte(): number {
    if (this.#at >= this.#block.length) throw malformed();
    return this.#block[this.#at++]!;
  }

  #add(field: Field): void {
    const size = sizeOf(field);
    this.#evict(this.#maxSize - size);
    // One that is larger than the table empties it, and that is all.
    if (size > this.#maxSize) return;
    this.#ring[this.#next] = field;
    this.#next = (this.#next + 1) % SLOTS;
    this.#count++;
    this.#size += size;
  }

  #resize(size: number): void {
    if (size > TABLE_SIZE) throw malformed();
    this.#maxSize = size;
    this.#evict(size);
  }

  /** Oldest first, until the rest has no more than `size`. */
  #evict(size: number): void {
    for (; this.#size > size && this.#count > 0; this.#count--) {
      this.#size -= sizeOf(this.#ring[(this.#next - this.#count + SLOTS) % SLOTS]!);
    }
  }
}

const SLOTS = TABLE_SIZE / OVERHEAD;

function sizeOf({ name, value }: Field): number {
  return name.length + value.length + OVERHEAD;
}

function malformed(): ConnectionError {
  return new ConnectionError(ErrorCode.COMPRESSION_ERROR, 'malformed headers');
}
