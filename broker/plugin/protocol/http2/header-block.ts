import { ConnectionError, ErrorCode } from './frame.ts';
import { MAX_HEADER_LIST } from './hpack-decoder.ts';

/** Frames of one block. */
const MAX_PIECES = 64;

/** The headers of a call, still coded, that come in pieces. */
export class HeaderBlock {
  readonly id: number;
  /** Whether the call says no more. */
  readonly endsStream: boolean;
  readonly #pieces: Buffer[] = [];
  #size = 0;

  constructor(id: number, endsStream: boolean) {
    this.id = id;
    this.endsStream = endsStream;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  /** @throws {ConnectionError} where it is more than anybody needs */
  add(piece: Buffer): void {
    this.#size += piece.length;
    // Copied: else each piece would keep alive all that came with it.
    this.#pieces.push(Buffer.from(piece));
    if (this.#size > MAX_HEADER_LIST || this.#pieces.length > MAX_PIECES)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many headers');
  }
}
