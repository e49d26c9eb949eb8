import { performServerHandshake } from 'node:http2';
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, ServerSessionOptions } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { MAX_MESSAGE } from './message.ts';

/**
 * The serving half of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), as much of it
 * as Vault speaks: no compression, no deadlines but the caller's own cancelling.
 *
 * grpc-js has a server, and the calls back to Vault are its. It is not used here for two reasons. It sends the status
 * of an answer only after the answer is written, and its layers make a request cost this process a quarter more. And it leaves
 * Node's guard against reset floods as it is for strangers: when a thousand clients of Vault give up at once, that guard
 * ends the connection for all others, with no option to say that this peer is trusted.
 */
export class GrpcServer {
  readonly #methods = new Map<string, Serve>();
  readonly #sessions = new Set<ServerHttp2Session>();

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
    const session = performServerHandshake(socket, OPTIONS);
    this.#sessions.add(session);
    session.on('close', () => this.#sessions.delete(session));
    session.on('error', () => session.destroy());
    session.on('stream', (stream, headers) => {
      // A call that was taken back; the caller knows.
      stream.on('error', () => {});
      const serve = this.#methods.get(headers[':path'] ?? '');
      if (serve === undefined) refuse(stream, new GrpcFault(status.UNIMPLEMENTED, 'unknown procedure'));
      else serve(stream, headers);
    });
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
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
  readonly responseSerialize: (message: never) => Buffer;
}
export type ServiceDefinition = Readonly<Record<string, Procedure>>;

/** The messages of a call as they come, and its end, once, however it comes. Nothing is sent on it but its end. */
export interface MessageStream<Message> {
  onMessage(listener: (message: Message) => void): void;
  onEnd(listener: () => void): void;
}
export type UnaryHandler<Args, Reply> = (args: Args, headers: IncomingHttpHeaders) => Reply | Promise<Reply>;
export type StreamHandler<Args> = (stream: MessageStream<Args>) => void;
export type Handlers<Service> = {
  readonly [Name in keyof Service]: Service[Name] extends {
    requestStream: false;
    responseStream: false;
    requestDeserialize(bytes: Buffer): infer Args;
    responseSerialize(message: infer Reply): Buffer;
  }
    ? UnaryHandler<Args, Reply>
    : Service[Name] extends { requestDeserialize(bytes: Buffer): infer Args }
      ? StreamHandler<Args>
      : never;
};

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** Vault is trusted with our memory: it limits what its clients send, and takes back what they give up. */
const OPTIONS: ServerSessionOptions = {
  maxSessionMemory: Number.MAX_SAFE_INTEGER,
  streamResetBurst: 1_000_000_000,
  streamResetRate: 1_000_000_000,
  settings: { initialWindowSize: 1024 * 1024 },
};

const RESPONSE: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
const WITH_TRAILERS = { waitForTrailers: true };
const OK: OutgoingHttpHeaders = { 'grpc-status': String(status.OK) };

function unary(procedure: Procedure, handler: UnaryHandler<unknown, unknown>): Serve {
  return (stream, headers) => {
    const messages = new Messages();
    let asked = false;
    stream.on('data', (chunk: Buffer) => {
      try {
        messages.push(chunk);
        const message = asked ? undefined : messages.next();
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
    });
    stream.on('end', () => {
      if (!asked) refuse(stream, new GrpcFault(status.INVALID_ARGUMENT, 'no message in it'));
    });
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
      if (!stream.destroyed) stream.end();
      for (const listener of ends) listener();
    };
    stream.respond(RESPONSE, WITH_TRAILERS);
    stream.on('wantTrailers', () => stream.sendTrailers(OK));
    stream.on('data', (chunk: Buffer) => {
      try {
        messages.push(chunk);
        for (let message = messages.next(); message !== undefined; message = messages.next()) {
          const decoded = decode(procedure, message);
          for (const listener of listeners) listener(decoded);
        }
      } catch {
        stream.destroy();
      }
    });
    // A caller that only listens has ended its side from the start.
    if (procedure.requestStream) stream.on('end', end);
    stream.on('close', end);
    handler({ onMessage: (listener) => void listeners.push(listener), onEnd: (listener) => void ends.push(listener) });
  };
}

function send(stream: ServerHttp2Stream, procedure: Procedure, reply: unknown): void {
  if (stream.destroyed) return;
  const bytes = procedure.responseSerialize(reply as never);
  const frame = Buffer.allocUnsafe(HEAD + bytes.length);
  frame[0] = 0;
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, HEAD);
  stream.respond(RESPONSE, WITH_TRAILERS);
  stream.on('wantTrailers', () => stream.sendTrailers(OK));
  stream.end(frame);
}

function refuse(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.headersSent) return;
  const fault = error instanceof GrpcFault ? error : new GrpcFault(status.INTERNAL, 'internal error');
  stream.respond(
    { ...RESPONSE, 'grpc-status': String(fault.status), 'grpc-message': encodeURIComponent(fault.message) },
    { endStream: true },
  );
  stream.resume();
}

function decode(procedure: Procedure, message: Buffer): unknown {
  try {
    return procedure.requestDeserialize(message);
  } catch {
    throw new GrpcFault(status.INVALID_ARGUMENT, 'the message can not be read');
  }
}

/** Bytes before a message: whether it is compressed (1), and its length (4). */
const HEAD = 5;

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
    if (this.#size < HEAD) return undefined;
    if (this.#held[0]!.length < HEAD) this.#join();
    const length = HEAD + this.#held[0]!.readUInt32BE(1);
    if (this.#held[0]![0] !== 0) throw new GrpcFault(status.UNIMPLEMENTED, 'no compression is spoken here');
    if (length - HEAD > MAX_MESSAGE) throw new GrpcFault(status.RESOURCE_EXHAUSTED, 'the message is too long');
    if (this.#size < length) return undefined;
    if (this.#held.length > 1) this.#join();
    const all = this.#held[0]!;
    this.#size -= length;
    this.#held = this.#size === 0 ? [] : [all.subarray(length)];
    return all.subarray(HEAD, length);
  }

  #join(): void {
    this.#held = [Buffer.concat(this.#held)];
  }
}
