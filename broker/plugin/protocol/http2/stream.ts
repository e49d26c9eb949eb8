import { Flag, Frame, frame, frameOf } from './frame.ts';
import type { ErrorCode } from './frame.ts';

/** What comes of a call, as it comes. */
export interface Receiver {
  data(bytes: Buffer): void;
  /** The caller has said all. */
  end(): void;
  /** Nothing comes any more, and nothing can be sent: the call is over, or was taken back. Told once. */
  close(): void;
}

/** What takes answers to the peer. */
export interface Sender {
  /** Of a new stream. */
  readonly initialWindow: number;
  write(piece: Buffer): void;
  answer(stream: Stream, head: Buffer, body: Buffer, trailers: Buffer): void;
}

/** One call, and its answer: header blocks are those of {@link encodeHeaders}. */
export class Stream {
  readonly id: number;
  receiver: Receiver | undefined;
  /** Bytes that the peer takes of it now; below 0 after it has made all windows smaller. */
  window: number;
  /** Bytes taken from the peer that it wasn't told of yet. */
  taken = 0;
  /** What of the body waits for a window, and what comes after it. */
  rest: Buffer | undefined;
  trailers: Buffer | undefined;
  headersSent = false;
  /** The caller's side, and ours. */
  ended = false;
  answered = false;
  closed = false;
  readonly #sender: Sender;
  readonly #onClose: (stream: Stream) => void;

  constructor(id: number, sender: Sender, onClose: (stream: Stream) => void) {
    this.id = id;
    this.window = sender.initialWindow;
    this.#sender = sender;
    this.#onClose = onClose;
  }

  /** All of an answer, once. */
  answer(head: Buffer, body: Buffer, trailers: Buffer): void {
    if (this.closed || this.headersSent) return;
    this.headersSent = true;
    this.#sender.answer(this, head, body, trailers);
  }

  /** The answer begins: nothing comes until {@link end}. */
  begin(head: Buffer): void {
    if (this.closed || this.headersSent) return;
    this.headersSent = true;
    this.#sender.write(frame(Frame.HEADERS, Flag.END_HEADERS, this.id, head));
  }

  /** Headers that are the whole answer, or the last of it. */
  end(headers: Buffer): void {
    if (this.closed || this.answered) return;
    this.headersSent = true;
    this.#sender.write(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, this.id, headers));
    this.finish();
  }

  /** Breaks the call off. */
  reset(code: ErrorCode): void {
    if (this.closed) return;
    this.#sender.write(frameOf(Frame.RST_STREAM, this.id, code));
    this.close();
  }

  /** The last of the answer is on its way. A caller that is still speaking isn't listened to, but waited for. */
  finish(): void {
    this.answered = true;
    if (this.ended) this.close();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.rest = this.trailers = undefined;
    this.#onClose(this);
    this.receiver?.close();
  }
}
