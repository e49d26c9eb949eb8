import type { Socket } from 'node:net';
import { ConnectionError, DEFAULT_WINDOW, ErrorCode, Flag, Frame, MAX_FRAME, MAX_WINDOW, Setting } from './frame.ts';
import { frame, frameOf, settings } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { HeaderBlock } from './header-block.ts';
import { Headers } from './header.ts';
import { HpackDecoder, MAX_HEADER_LIST } from './hpack-decoder.ts';
import { Outbox } from './outbox.ts';
import { Stream } from './stream.ts';
import type { Receiver } from './stream.ts';

/** A call begins. @returns who takes what comes of it */
export type Open = (stream: Stream, headers: Headers) => Receiver;

/**
 * Bytes that a call may send before we say that we have them; of all calls together. That is said at the half, and before anything else is
 * read, so that nobody can overrun them.
 */
const WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 64 * WINDOW;
/** Calls at once. */
const MAX_STREAMS = 65_536;

const GREETING = settings([
  [Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS],
  [Setting.INITIAL_WINDOW_SIZE, WINDOW],
  [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST],
]);

/**
 * The serving half of HTTP/2 (https://www.rfc-editor.org/rfc/rfc9113), as much of it as one trusted client needs: it has no priorities,
 * pushes nothing, and the client's resets and pings are not counted. What breaks the protocol ends the connection.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #open: Open;
  readonly #outbox: Outbox;
  readonly #reader = new FrameReader((type, flags, id, payload) => this.#take(type, flags, id, payload));
  readonly #decoder = new HpackDecoder();
  readonly #streams = new Map<number, Stream>();
  readonly #forget = (stream: Stream): void => {
    this.#streams.delete(stream.id);
    this.#outbox.forget(stream);
  };
  #greeted = false;
  #failed = false;
  #last = 0;
  /** Headers that aren't whole yet. */
  #block: HeaderBlock | undefined;
  /** Bytes taken that the peer wasn't told of yet. */
  #taken = 0;

  constructor(socket: Socket, open: Open) {
    this.#socket = socket;
    this.#open = open;
    this.#outbox = new Outbox(socket);
    this.#outbox.write(GREETING);
    this.#outbox.write(frameOf(Frame.WINDOW_UPDATE, 0, CONNECTION_WINDOW - DEFAULT_WINDOW));
    this.#outbox.flush();
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#closeAll());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#failed) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      const broken = error instanceof ConnectionError;
      this.#fail(broken ? error.code : ErrorCode.INTERNAL_ERROR);
      if (!broken) throw error;
    }
  }

  #fail(code: ErrorCode): void {
    this.#failed = true;
    this.#outbox.write(frameOf(Frame.GOAWAY, 0, this.#last, code));
    this.#closeAll();
    this.#outbox.flush();
    this.#socket.destroySoon();
  }

  #closeAll(): void {
    for (const stream of this.#streams.values()) stream.close();
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (this.#block !== undefined && (type !== Frame.CONTINUATION || id !== this.#block.id)) throw broken('headers are not whole');
    if (!this.#greeted && type !== Frame.SETTINGS) throw broken('no settings');
    if (type === Frame.HEADERS) this.#takeHeaders(flags, id, payload);
    else if (type === Frame.DATA) this.#takeData(flags, id, payload);
    else if (type === Frame.WINDOW_UPDATE) this.#takeWindow(id, payload);
    else if (type === Frame.PING) this.#takePing(flags, id, payload);
    else if (type === Frame.RST_STREAM) this.#takeReset(id, payload);
    else if (type === Frame.SETTINGS) this.#takeSettings(flags, id, payload);
    else if (type === Frame.CONTINUATION) this.#takeContinuation(flags, payload);
    else if (type === Frame.GOAWAY) this.#takeGoaway(id, payload);
    else if (type === Frame.PRIORITY) this.#takePriority(id, payload);
    else if (type === Frame.PUSH_PROMISE) throw broken('a client pushes nothing');
    // Others are of extensions, and ignored.
  }

  #takeHeaders(flags: number, id: number, payload: Buffer): void {
    if (id % 2 === 0) throw broken('headers of no call');
    let block = unpadded(flags, payload);
    if ((flags & Flag.PRIORITY) !== 0) {
      if (block.length < 5) throw wrongSize();
      block = block.subarray(5);
    }
    const endsStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#takeBlock(id, endsStream, block);
      return;
    }
    this.#block = new HeaderBlock(id, endsStream);
    this.#block.add(block);
  }

  #takeContinuation(flags: number, payload: Buffer): void {
    const block = this.#block;
    if (block === undefined) throw broken('nothing to continue');
    block.add(payload);
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.#block = undefined;
    this.#takeBlock(block.id, block.endsStream, block.bytes);
  }

  #takeBlock(id: number, endsStream: boolean, block: Buffer): void {
    // Also where nobody reads them: the next ones build on them.
    const fields = this.#decoder.decode(block);
    let stream = this.#streams.get(id);
    if (stream !== undefined) {
      // Trailers, which say nothing but that the call ends.
      if (stream.ended) stream.reset(ErrorCode.STREAM_CLOSED);
      else if (endsStream) end(stream);
      else stream.reset(ErrorCode.PROTOCOL_ERROR);
      return;
    }
    // It may have been on its way when we broke that call off.
    if (id <= this.#last) return;
    this.#last = id;
    if (this.#streams.size >= MAX_STREAMS) {
      this.#outbox.write(frameOf(Frame.RST_STREAM, id, ErrorCode.REFUSED_STREAM));
      return;
    }
    stream = new Stream(id, this.#outbox, this.#forget);
    this.#streams.set(id, stream);
    stream.receiver = this.#open(stream, new Headers(fields));
    if (endsStream) end(stream);
  }

  #takeData(flags: number, id: number, payload: Buffer): void {
    const stream = this.#known(id);
    this.#taken += payload.length;
    if (this.#taken >= CONNECTION_WINDOW / 2) {
      this.#outbox.write(frameOf(Frame.WINDOW_UPDATE, 0, this.#taken));
      this.#taken = 0;
    }
    const bytes = unpadded(flags, payload);
    if (stream === undefined) return;
    stream.taken += payload.length;
    if (stream.ended) return stream.reset(ErrorCode.STREAM_CLOSED);
    const endsStream = (flags & Flag.END_STREAM) !== 0;
    if (stream.taken >= WINDOW / 2 && !endsStream) {
      this.#outbox.write(frameOf(Frame.WINDOW_UPDATE, id, stream.taken));
      stream.taken = 0;
    }
    if (bytes.length > 0 && !stream.answered) stream.receiver?.data(bytes);
    if (endsStream) end(stream);
  }

  #takeReset(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw wrongSize();
    this.#known(id)?.close();
  }

  #takeWindow(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw wrongSize();
    const by = payload.readUInt32BE(0) & 0x7f_ff_ff_ff;
    const stream = id === 0 ? undefined : this.#known(id);
    if (id !== 0 && stream === undefined) return;
    if (by > 0 && this.#outbox.grow(by, stream)) return;
    const code = by === 0 ? ErrorCode.PROTOCOL_ERROR : ErrorCode.FLOW_CONTROL_ERROR;
    if (stream === undefined) throw new ConnectionError(code, 'an impossible window');
    stream.reset(code);
  }

  #takeSettings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('settings of a call');
    const acknowledges = (flags & Flag.ACK) !== 0;
    if (payload.length % 6 !== 0 || (acknowledges && payload.length > 0)) throw wrongSize();
    if (acknowledges) return;
    this.#greeted = true;
    // First: until the client has this, it holds what we send against its former windows.
    this.#outbox.write(frame(Frame.SETTINGS, Flag.ACK, 0, NOTHING));
    for (let at = 0; at < payload.length; at += 6) this.#takeSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  }

  /** The others limit what we don't do. */
  #takeSetting(setting: number, value: number): void {
    if (setting === Setting.INITIAL_WINDOW_SIZE) {
      if (value > MAX_WINDOW) throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'an impossible window');
      this.#outbox.resize(value, this.#streams.values());
    } else if (setting === Setting.MAX_FRAME_SIZE) {
      if (value < MAX_FRAME || value >= 2 ** 24) throw broken('an impossible frame size');
      this.#outbox.maxFrame = value;
    } else if (setting === Setting.ENABLE_PUSH && value > 1) throw broken('an impossible setting');
  }

  #takePing(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('a ping of a call');
    if (payload.length !== 8) throw wrongSize();
    if ((flags & Flag.ACK) === 0) this.#outbox.write(frame(Frame.PING, Flag.ACK, 0, payload));
  }

  /** What has begun goes on; the client closes when it has what it wants. */
  #takeGoaway(id: number, payload: Buffer): void {
    if (id !== 0) throw broken('a call says goodbye');
    if (payload.length < 8) throw wrongSize();
  }

  #takePriority(id: number, payload: Buffer): void {
    if (id === 0) throw broken('a priority of no call');
    if (payload.length !== 5) throw wrongSize();
  }

  /** @returns undefined where it is over. @throws {ConnectionError} where it has not begun */
  #known(id: number): Stream | undefined {
    if (id === 0 || id > this.#last || id % 2 === 0) throw broken('no such call');
    return this.#streams.get(id);
  }
}

const NOTHING = Buffer.alloc(0);

function end(stream: Stream): void {
  stream.ended = true;
  if (stream.answered) stream.close();
  else if (!stream.closed) stream.receiver?.end();
}

function unpadded(flags: number, payload: Buffer): Buffer {
  if ((flags & Flag.PADDED) === 0) return payload;
  if (payload.length === 0) throw wrongSize();
  const padding = payload[0]!;
  if (padding >= payload.length) throw broken('more padding than payload');
  return payload.subarray(1, payload.length - padding);
}

function broken(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, message);
}

function wrongSize(): ConnectionError {
  return new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame of another length');
}
