import { ConnectionError, ErrorCode, HEAD, MAX_FRAME } from './frame.ts';

export type OnFrame = (type: number, flags: number, id: number, payload: Buffer) => void;

/** What a client says first: https://www.rfc-editor.org/rfc/rfc9113#section-3.4 */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Cuts what a client sends into frames. Only what comes in pieces is copied. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  #held: Buffer[] = [];
  #size = 0;
  /** Bytes without which there is nothing to do. */
  #needed = PREFACE.length;
  #greeted = false;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** @throws {ConnectionError}, and whatever the listener throws */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#size > 0 || chunk.length < this.#needed) {
      this.#held.push(chunk);
      this.#size += chunk.length;
      if (this.#size < this.#needed) return;
      bytes = Buffer.concat(this.#held, this.#size);
      this.#held = [];
      this.#size = 0;
    }
    const at = this.#read(bytes, this.#greeted ? 0 : this.#greet(bytes));
    if (at < bytes.length) {
      this.#held.push(at === 0 ? bytes : bytes.subarray(at));
      this.#size = bytes.length - at;
    }
  }

  #greet(bytes: Buffer): number {
    if (PREFACE.compare(bytes, 0, PREFACE.length) !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'no HTTP/2');
    this.#greeted = true;
    return PREFACE.length;
  }

  /** @returns where what isn't whole yet begins */
  #read(bytes: Buffer, from: number): number {
    let at = from;
    this.#needed = HEAD;
    while (bytes.length - at >= HEAD) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (length > MAX_FRAME) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame is too long');
      const end = at + HEAD + length;
      if (end > bytes.length) {
        this.#needed = HEAD + length;
        break;
      }
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5) & 0x7f_ff_ff_ff, bytes.subarray(at + HEAD, end));
      at = end;
    }
    return at;
  }
}
