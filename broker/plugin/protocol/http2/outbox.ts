import type { Socket } from 'node:net';
import { ConnectionError, DEFAULT_WINDOW, ErrorCode, Flag, Frame, HEAD, MAX_FRAME, MAX_WINDOW, frame, writeHead } from './frame.ts';
import type { Sender, Stream } from './stream.ts';

/** Bytes that lie unread at the peer's side until we read nothing more from it: answers to its own frames would pile up. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** Bytes that are copied together for one write; larger ones go as they are. */
const MAX_COPIED = 256 * 1024;

/** All that goes to the peer: what one turn of the event loop answers leaves in one write, and no more than its windows take. */
export class Outbox implements Sender {
  readonly #socket: Socket;
  #pieces: Buffer[] = [];
  #size = 0;
  #scheduled = false;
  #window = DEFAULT_WINDOW;
  /** As the peer has it: of new streams. */
  #initialWindow = DEFAULT_WINDOW;
  /** Largest payload that the peer takes. */
  maxFrame = MAX_FRAME;
  /** Those with a body for which the connection's window has no room, in their turns. */
  readonly #waiting = new Set<Stream>();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get initialWindow(): number {
    return this.#initialWindow;
  }

  write(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.flush);
  }

  readonly flush = (): void => {
    this.#scheduled = false;
    const pieces = this.#pieces;
    const size = this.#size;
    this.#pieces = [];
    this.#size = 0;
    const socket = this.#socket;
    if (size === 0 || !socket.writable) return;
    if (size <= MAX_COPIED) socket.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, size));
    else {
      socket.cork();
      for (const piece of pieces) socket.write(piece);
      socket.uncork();
    }
    if (socket.writableLength <= MAX_UNREAD || socket.isPaused()) return;
    socket.pause();
    socket.once('drain', () => socket.resume());
  };

  /** Headers, body and trailers: one piece where the windows have room for it. */
  answer(stream: Stream, head: Buffer, body: Buffer, trailers: Buffer): void {
    const { id } = stream;
    if (body.length > Math.min(stream.window, this.#window, this.maxFrame)) {
      this.write(frame(Frame.HEADERS, Flag.END_HEADERS, id, head));
      stream.rest = body;
      stream.trailers = trailers;
      this.#waiting.add(stream);
      this.#pump();
      return;
    }
    const piece = Buffer.allocUnsafe(3 * HEAD + head.length + body.length + trailers.length);
    let at = writeHead(piece, 0, head.length, Frame.HEADERS, Flag.END_HEADERS, id);
    piece.set(head, at);
    at = writeHead(piece, at + head.length, body.length, Frame.DATA, 0, id);
    piece.set(body, at);
    at = writeHead(piece, at + body.length, trailers.length, Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id);
    piece.set(trailers, at);
    this.#window -= body.length;
    stream.window -= body.length;
    this.write(piece);
    stream.finish();
  }

  /** The peer takes so many bytes more, of one stream or of all together. @returns whether it may say so */
  grow(by: number, stream?: Stream): boolean {
    if ((stream?.window ?? this.#window) + by > MAX_WINDOW) return false;
    if (stream === undefined) this.#window += by;
    else {
      stream.window += by;
      if (stream.rest !== undefined && stream.window > 0) this.#waiting.add(stream);
    }
    this.#pump();
    return true;
  }

  /** The peer has another window for each stream, those that there are included. @throws {ConnectionError} */
  resize(window: number, streams: Iterable<Stream>): void {
    const by = window - this.#initialWindow;
    this.#initialWindow = window;
    for (const stream of streams)
      if (!this.grow(by, stream)) throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'a window is too large');
  }

  forget(stream: Stream): void {
    this.#waiting.delete(stream);
  }

  /** A frame of each in turn, until the connection's window is empty. */
  #pump(): void {
    for (const stream of this.#waiting) {
      if (this.#window <= 0) return;
      this.#waiting.delete(stream);
      this.#sendNext(stream);
    }
  }

  #sendNext(stream: Stream): void {
    const { rest, trailers } = stream;
    if (rest === undefined || trailers === undefined) return;
    const length = Math.min(rest.length, stream.window, this.#window, this.maxFrame);
    // Without room in its own window it waits for that.
    if (length <= 0) return;
    const head = Buffer.allocUnsafe(HEAD);
    writeHead(head, 0, length, Frame.DATA, 0, stream.id);
    this.write(head);
    this.write(rest.subarray(0, length));
    this.#window -= length;
    stream.window -= length;
    if (length < rest.length) {
      stream.rest = rest.subarray(length);
      this.#waiting.add(stream);
      return;
    }
    stream.rest = stream.trailers = undefined;
    this.write(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream.id, trailers));
    stream.finish();
  }
}
