import type { TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { Connection } from './http2/connection.ts';
import { ErrorCode } from './http2/frame.ts';
import type { Headers } from './http2/header.ts';
import { encodeHeaders } from './http2/hpack-encoder.ts';
import type { Receiver, Stream } from './http2/stream.ts';
import { MAX_MESSAGE } from './message.ts';

/**
 * The serving half of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), as much of it
 * as Vault speaks: no compression, no deadlines but the caller's own cancelling.
 *
 * grpc-js has a server, and the calls back to Vault are its. It is not used here, nor is Node's HTTP/2, which it is built on: a stream of
 * Node's, with its events and its crossings into C++, costs this process more than all that a read of a cached token needs beside. And
 * Node's guard against reset floods is for strangers: when a thousand clients of Vault give up at once, grpc-js has it end the connection
 * for all others.
 */
export class GrpcServer {
  readonly #methods = new Map<string, Serve>();
  readonly #connections = new Set<Connection>();

  /** Answers the calls of a service, of which every procedure has one handler. */
  add<Service extends ServiceDefinition>(service: Service, handlers: Handlers<Service>): void {
    for (const [name, procedure] of Object.entries(service)) {
      const handler = handlers[name as keyof Service];
      this.#methods.set(
        procedure.path,
        procedure.requestStream || procedure.responseStream
          ? streaming(procedure, handler as StreamHandler<unknown>)
          : unary(procedure, handler as UnaryHandler<unknown, unknown>),
      );
    }
  }

  /** Takes a connection on which TLS is done, and whose peer is known. */
  accept(socket: TLSSocket): void {
    const connection = new Connection(socket, (stream, headers) => {
      const serve = this.#methods.get(headers.get(':path') ?? '');
      if (serve !== undefined) return serve(stream, headers);
      refuse(stream, new GrpcFault(status.UNIMPLEMENTED, 'unknown procedure'));
      return NOBODY;
    });
    this.#connections.add(connection);
    socket.on('close', () => this.#connections.delete(connection));
  }

  close(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

/** A call that has no answer but a gRPC status. */
export class GrpcFault extends Error {
  override readonly name = 'GrpcFault';
  readonly status: status;

  constructor(code: status, details: string) {
    super(details);
    this.status = code;
  }
}

export interface Procedure {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (message: never) => Uint8Array;
}
export type ServiceDefinition = Readonly<Record<string, Procedure>>;

/** The messages of a call as they come, and its end, once, however it comes. Nothing is sent on it but its end. */
export interface MessageStream<Message> {
  onMessage(listener: (message: Message) => void): void;
  onEnd(listener: () => void): void;
}
export type UnaryHandler<Args, Reply> = (args: Args, headers: Headers) => Reply | Promise<Reply>;
export type StreamHandler<Args> = (stream: MessageStream<Args>) => void;
export type Handlers<Service> = {
  readonly [Name in keyof Service]: Service[Name] extends {
    requestStream: false;
    responseStream: false;
    requestDeserialize(bytes: Buffer): infer Args;
    responseSerialize(message: infer Reply): Uint8Array;
  }
    ? UnaryHandler<Args, Reply>
    : Service[Name] extends { requestDeserialize(bytes: Buffer): infer Args }
      ? StreamHandler<Args>
      : never;
};

type Serve = (stream: Stream, headers: Headers) => Receiver;

const RESPONSE = { ':status': '200', 'content-type': 'application/grpc' };
const HEAD = encodeHeaders(RESPONSE, { opening: true });
const OK = encodeHeaders({ 'grpc-status': String(status.OK) }, { opening: false });

const NOBODY: Receiver = { data() {}, end() {}, close() {} };

function unary(procedure: Procedure, handler: UnaryHandler<unknown, unknown>): Serve {
  return (stream, headers) => {
    const messages = new Messages();
    let asked = false;
    return {
      data(chunk) {
        // One message is asked; what comes after it is nobody's.
        if (asked) return;
        try {
          messages.push(chunk);
          const message = messages.next();
          if (message === undefined) return;
          asked = true;
          const answer = handler(decode(procedure, message), headers);
          if (answer instanceof Promise)
            answer.then((reply) => send(stream, procedure, reply)).catch((error: unknown) => refuse(stream, error));
          else send(stream, procedure, answer);
        } catch (error) {
          asked = true;
          refuse(stream, error);
        }
      },
      end() {
        if (!asked) refuse(stream, new GrpcFault(status.INVALID_ARGUMENT, 'no message in it'));
      },
      close() {},
    };
  };
}

/** Answers nothing until the caller ends it, or goes: what both streams of go-plugin want of a plugin. */
function streaming(procedure: Procedure, handler: StreamHandler<unknown>): Serve {
  return (stream) => {
    const messages = new Messages();
    const listeners: ((message: unknown) => void)[] = [];
    const ends: (() => void)[] = [];
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      stream.end(OK);
      for (const listener of ends) listener();
    };
    stream.begin(HEAD);
    handler({ onMessage: (listener) => void listeners.push(listener), onEnd: (listener) => void ends.push(listener) });
    return {
      data(chunk) {
        try {
          messages.push(chunk);
          for (let message = messages.next(); message !== undefined; message = messages.next()) {
            const decoded = decode(procedure, message);
            for (const listener of listeners) listener(decoded);
          }
        } catch {
          stream.reset(ErrorCode.CANCEL);
        }
      },
      // A caller that only listens has ended its side from the start.
      end: procedure.requestStream ? end : () => {},
      close: end,
    };
  };
}

function send(stream: Stream, procedure: Procedure, reply: unknown): void {
  if (stream.closed) return;
  const bytes = procedure.responseSerialize(reply as never);
  const message = Buffer.allocUnsafe(PREFIX + bytes.length);
  message[0] = 0;
  message.writeUInt32BE(bytes.length, 1);
  message.set(bytes, PREFIX);
  stream.answer(HEAD, message, OK);
}

function refuse(stream: Stream, error: unknown): void {
  if (stream.closed || stream.headersSent) return;
  const fault = error instanceof GrpcFault ? error : new GrpcFault(status.INTERNAL, 'internal error');
  const headers = { ...RESPONSE, 'grpc-status': String(fault.status), 'grpc-message': encodeURIComponent(fault.message) };
  stream.end(encodeHeaders(headers, { opening: true }));
}

function decode(procedure: Procedure, message: Buffer): unknown {
  try {
    return procedure.requestDeserialize(message);
  } catch {
    throw new GrpcFault(status.INVALID_ARGUMENT, 'the message can not be read');
  }
}

/** Bytes before a message: whether it is compressed (1), and its length (4). */
const PREFIX = 5;

/** Cuts what arrives into messages. */
class Messages {
  #held: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): void {
    this.#held.push(chunk);
    this.#size += chunk.length;
  }

  /**
   * @returns undefined until a whole message is there
   * @throws {GrpcFault} when it is compressed, or too long
   */
  next(): Buffer | undefined {
    if (this.#size < PREFIX) return undefined;
    if (this.#held[0]!.length < PREFIX) this.#join();
    const length = PREFIX + this.#held[0]!.readUInt32BE(1);
    if (this.#held[0]![0] !== 0) throw new GrpcFault(status.UNIMPLEMENTED, 'no compression is spoken here');
    if (length - PREFIX > MAX_MESSAGE) throw new GrpcFault(status.RESOURCE_EXHAUSTED, 'the message is too long');
    if (this.#size < length) return undefined;
    if (this.#held.length > 1) this.#join();
    const all = this.#held[0]!;
    this.#size -= length;
    this.#held = this.#size === 0 ? [] : [all.subarray(length)];
    return all.subarray(PREFIX, length);
  }

  #join(): void {
    this.#held = [Buffer.concat(this.#held)];
  }
}
