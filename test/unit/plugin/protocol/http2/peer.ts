import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { Connection } from '#broker/plugin/protocol/http2/connection.ts';
import type { Open } from '#broker/plugin/protocol/http2/connection.ts';
import { frame, frameOf, settings } from '#broker/plugin/protocol/http2/frame.ts';
import type { Headers } from '#broker/plugin/protocol/http2/header.ts';
import { encodeHeaders } from '#broker/plugin/protocol/http2/hpack-encoder.ts';
import type { Stream } from '#broker/plugin/protocol/http2/stream.ts';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const REQUEST = encodeHeaders({ ':method': 'POST', ':scheme': 'https', ':path': '/a/B', te: 'trailers' }, { opening: false });
export const HEAD = encodeHeaders({ ':status': '200' }, { opening: true });
export const TRAILERS = encodeHeaders({ 'grpc-status': '0' }, { opening: false });

/** A socket whose other end is the test. */
export class Wire extends Duplex {
  readonly writes: Buffer[] = [];
  /** Nobody reads: what is written stays. */
  stuck = false;
  #unread: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk);
    if (this.stuck) this.#unread = done;
    else done();
  }

  override _final(done: () => void): void {
    done();
  }

  readAll(): void {
    this.stuck = false;
    this.#unread?.();
  }

  destroySoon(): void {
    this.end(() => this.destroy());
  }
}

export interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** A call as the server sees it. */
export interface Call {
  readonly stream: Stream;
  readonly headers: Headers;
  readonly bytes: Buffer[];
  events: string;
}

/** A client that sends what the test wants, byte by byte. */
export class Peer {
  readonly wire = new Wire();
  readonly calls: Call[] = [];
  readonly connection: Connection;

  constructor(onCall: (call: Call) => void = () => {}, onEnd: (call: Call) => void = () => {}) {
    const open: Open = (stream, headers) => {
      const call: Call = { stream, headers, bytes: [], events: '' };
      this.calls.push(call);
      onCall(call);
      return {
        data: (bytes) => void call.bytes.push(bytes),
        end: () => {
          call.events += 'end ';
          onEnd(call);
        },
        close: () => void (call.events += 'close '),
      };
    };
    this.connection = new Connection(this.wire as unknown as Socket, open);
  }

  /** One that has said hello. */
  static async greeted(onCall?: (call: Call) => void, onEnd?: (call: Call) => void): Promise<Peer> {
    const peer = new Peer(onCall, onEnd);
    await peer.send(PREFACE, settings([]));
    peer.wire.writes.length = 0;
    return peer;
  }

  async send(...pieces: readonly Uint8Array[]): Promise<void> {
    this.wire.push(Buffer.concat(pieces));
    for (let turns = 0; turns < 3; turns++) await turn();
  }

  /** All frames that came since {@link forget}. */
  get frames(): Seen[] {
    const bytes = Buffer.concat(this.wire.writes);
    const frames: Seen[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 9 + bytes.readUIntBE(at, 3);
      frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, id: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, end) });
      at = end;
    }
    return frames;
  }

  /** The same, one line each: type, id, and length or code. */
  get said(): string[] {
    return this.frames.map(({ type, flags, id, payload }) => {
      if (type === 0) return `DATA ${id} ${payload.length}`;
      if (type === 1) return `HEADERS ${id}${(flags & 1) === 1 ? ' END' : ''}`;
      if (type === 3) return `RST ${id} ${payload.readUInt32BE(0)}`;
      if (type === 4) return (flags & 1) === 1 ? 'SETTINGS ACK' : 'SETTINGS';
      if (type === 6) return `PING ${(flags & 1) === 1 ? 'ACK ' : ''}${payload.toString('hex')}`;
      if (type === 7) return `GOAWAY ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)}`;
      if (type === 8) return `WINDOW ${id} ${payload.readUInt32BE(0)}`;
      return `? ${type}`;
    });
  }

  forget(): void {
    this.wire.writes.length = 0;
  }
}

export const headers = (id: number, flags = 4, block: Uint8Array = REQUEST): Buffer => frame(1, flags, id, block);
export const data = (id: number, bytes: Uint8Array | string, flags = 0): Buffer => frame(0, flags, id, Buffer.from(bytes));
export const window = (id: number, by: number): Buffer => frameOf(8, id, by);
