import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { Server as NetServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsPair } from '#broker/tls-pair.ts';
import { Connections } from './connections.ts';
import type { Connection } from './connections.ts';
import { Reading } from './reading.ts';
import { refusal } from './refusal.ts';
import type { Broken, RawAnswer, Unparsable } from './refusal.ts';
import { wholeRequest } from './whole-request.ts';
import type { WholeRequest } from './whole-request.ts';
import { WholeResponse } from './whole-response.ts';
import type { Answer } from './whole-response.ts';

export interface ListenerOptions {
  /** Runs one request, whose answer it ends; of one connection the next when that is sent. */
  handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Requests that come in one piece and say nothing unusual, of the targets it takes: none of Node's objects is made for these. */
  whole?: { takes: (target: string) => boolean; handle: (request: WholeRequest, response: WholeResponse) => void } | undefined;
  /** Answers, in place of `handle`, a request that is refused whatever it asks for. */
  refuse: (why: Broken, request: IncomingMessage, response: ServerResponse) => void;
  /** The answer to what never became a request. */
  refuseUnparsable: (why: Unparsable) => RawAnswer;
  /** PEM. */
  tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Bytes. */
  maxHeaderSize: number;
  /** Most connections open at once. */
  maxConnections: number;
  /** Most of one address, or IPv6 /64. Default a fifth of `maxConnections`, 64 at least. */
  maxPerAddress?: number | undefined;
  /** Whether a peer is a proxy of ours, for which the limits of a network don't count. */
  isTrusted?: ((address: string) => boolean) | undefined;
  /** ms; for tests, which have no 15 s. */
  timeouts?: Partial<typeof TIMEOUTS> | undefined;
}

/** ms. Node's own (60 s, 300 s, each 30 s, and none for answers) let slow clients hold sockets and memory for minutes or for ever. */
const TIMEOUTS = {
  headersTimeout: 5_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 65_000,
  /** A kept connection without a request while half of all places are taken. */
  crowdedTimeout: 5_000,
  /** An answer that the client doesn't read. */
  unreadTimeout: 10_000,
};

/** Where a socket keeps its connection: a weak map of them all would be looked through by each garbage collection. */
const CONNECTION = Symbol('connection');
type Known = Socket & { [CONNECTION]?: Connection };

function connectionOf(socket: Socket): Connection | undefined {
  return (socket as Known)[CONNECTION];
}

/** At the end of a lame duck no connection is kept, ms: those that are idle then can be closed under a request. */
const NONE_KEPT = 1_000;
/** How long connections without a request are left open when no new one is taken, ms: theirs may be on its way. */
const ON_ITS_WAY = 250;

/** Requests of a connection that may always wait for the answer to the one before; nothing more is read from it meanwhile. */
const HELD_EACH = 4;
/** Those beyond, which came in the same piece, of all connections together. Each is some 3 kB; who sends more is cut off. */
const HELD_BEYOND = 5_000;

/**
 * What every HTTP door of ours listens by: the limits on asking and on answering. A connection has one request in work, and
 * the next begins when the answer has left this process, so that nobody can pile up answers which they don't read.
 */
export class Listener {
  readonly server: Server;
  readonly #options: ListenerOptions;
  readonly #connections: Connections;
  /** TLS only: by the peer's address and port, until the handshake is done. */
  readonly #shakingHands = new Map<string, Connection>();
  /** As Node tells it. */
  readonly #kept: string;
  /** Whole requests in work: Node, which doesn't know of them, takes their connections for idle. */
  #wholes = 0;
  #whenNoWhole: (() => void) | undefined;
  #draining = false;
  /** ms of the monotonic clock: connections from before `since` are not kept, and none is from `last` on. */
  #leaving: { readonly since: number; readonly last: number } | undefined;
  /** Connections since the start. */
  #came = 0;
  /** Of all connections, those beyond {@link HELD_EACH}. */
  #beyond = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { unreadTimeout, crowdedTimeout, ...timeouts } = { ...TIMEOUTS, ...options.timeouts };
    const settings: ServerOptions = {
      ...timeouts,
      maxHeaderSize: options.maxHeaderSize,
      noDelay: true,
      keepAlive: true,
      insecureHTTPParser: false,
      // By default Node shows the first of two Authorization or Content-Type headers and hides the other; joined, they are refused.
      joinDuplicateHeaders: true,
      // Node would answer by itself, with no body and no Cache-Control.
      requireHostHeader: false,
    };
    this.#kept = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(timeouts.keepAliveTimeout / 1000)}\r\n`;
    this.#connections = new Connections({
      max: options.maxConnections,
      maxPerAddress: options.maxPerAddress,
      isTrusted: options.isTrusted,
      unreadMs: unreadTimeout,
      idleMs: timeouts.keepAliveTimeout,
      crowdedIdleMs: crowdedTimeout,
      monotonic: () => performance.now(),
    });
    const { tls, handle, refuse } = options;
    const turn = (request: IncomingMessage, response: ServerResponse): void =>
      this.#takeTurn(request, response, breaksRules(request) ? refuseRules : handle);
    const refuseRules: ListenerOptions['handle'] = (request, response) => refuse('rules', request, response);
    const refuseExpectation: ListenerOptions['handle'] = (request, response) => refuse('expectation', request, response);
    this.server = tls
      ? createTlsServer({ ...settings, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: timeouts.headersTimeout }, turn)
      : createServer(settings, turn);
    this.server.on('connection', (socket: Socket) => this.#admit(socket, tls !== undefined));
    this.server.on('secureConnection', (socket: Socket) => this.#greet(socket));
    this.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      this.#takeTurn(request, response, refuseExpectation),
    );
    this.server.on('clientError', (error, socket) => this.#refuseUnparsable(error, socket as Socket));
    // Node has let go of this connection, its time-outs included.
    this.server.on('connect', (_request, socket) => this.#refuse('connect', socket as Socket));
    const sweeping = setInterval(() => this.#connections.sweep(), timeouts.connectionsCheckingInterval).unref();
    this.server.once('close', () => clearInterval(sweeping));
  }

  /** Connections open now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Connections turned away since the start. */
  get refused(): number {
    return this.#connections.refused;
  }

  /** @returns the port in use */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      // Node's backlog of 511 resets connections when a thousand clients come at once.
      this.server.listen({ port, host, backlog: 4096 }, () => {
        this.server.off('error', reject);
        resolve((this.server.address() as AddressInfo).port);
      });
    });
  }

  /** New connections get this certificate; those that are open go on. PEM. @throws where OpenSSL refuses it; the one before stays then */
  useTls({ cert, key }: TlsPair): void {
    if (this.server instanceof TlsServer) this.server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
  }

  /**
   * Reads nothing more from the connection for so long after this answer, so that a client that doesn't wait as it is told costs nothing
   * meanwhile. A proxy of ours is left alone: it carries others' requests, too.
   */
  rest({ socket }: { readonly socket: Socket }, response: Pick<Answer, 'once'>, ms: number): void {
    const connection = connectionOf(socket);
    if (connection?.trusted !== false) return;
    response.once('close', () => {
      if (socket.destroyed || socket.writableEnded) return;
      const reading = this.#readingOf(connection);
      reading.stop();
      clearTimeout(connection.rest);
      connection.rest = setTimeout(() => reading.start(), ms).unref();
    });
  }

  /**
   * By which a connection may be left unread for others' sake. Of one that has more in work already, and of a proxy of ours, which carries
   * others' requests, all is read; of any while the process ends.
   */
  readingOf(socket: Socket): Reading | undefined {
    const connection = connectionOf(socket);
    return connection === undefined || connection.trusted ? undefined : this.#readingOf(connection);
  }

  /** Whether the request that is in work is the first of its connection. */
  isFirst(socket: Socket): boolean {
    return connectionOf(socket)?.asked === 1;
  }

  #readingOf(connection: Connection): Reading {
    connection.reading ??= new Reading(connection.socket, () => !this.#draining && connection.held.length === 0 && isOver(connection.last));
    return connection.reading;
  }

  /**
   * Serves on for so long, and asks clients to come again by another connection, which will be another broker's. Who comes back
   * all the same is kept until shortly before the end: a proxy that hasn't noticed would connect for each request.
   */
  leave(ms: number): void {
    const since = performance.now();
    this.#leaving = { since, last: since + ms - Math.min(NONE_KEPT, ms / 2) };
  }

  /** Takes no new connections, finishes the requests in flight, then stops; at most `graceMs`. */
  close(graceMs: number): Promise<void> {
    this.#draining = true;
    // What the unread have asked is on its way, too; and who waits for an answer is to send nothing more.
    this.#connections.readAll();
    this.#connections.closeAfterAnswer();
    // A connection whose answer is under way now would be kept, and hold up the end, for this long.
    this.server.keepAliveTimeout = 1;
    return new Promise((resolve) => {
      this.#whenAllCame(() => {
        const late = setTimeout(() => this.server.closeAllConnections(), graceMs);
        // Not http's own, which closes connections whose first request is on its way.
        NetServer.prototype.close.call(this.server, () => {
          clearTimeout(late);
          resolve();
        });
        setTimeout(() => this.#closeIdle(), Math.min(ON_ITS_WAY, graceMs));
      });
    });
  }

  /** Connections that wait to be accepted would be reset; Node takes one in each turn of the event loop. */
  #whenAllCame(then: () => void): void {
    const until = performance.now() + ON_ITS_WAY;
    const look = (before: number): void => {
      const came = this.#came;
      if (came === before || performance.now() > until) then();
      else setImmediate(look, came);
    };
    setImmediate(look, -1);
  }

  #admit(socket: Socket, secure: boolean): void {
    this.#came++;
    const connection = this.#connections.add(socket);
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    (socket as Known)[CONNECTION] = connection;
    if (!secure) {
      this.#lookAt(connection);
      return;
    }
    const peer = peerOf(socket);
    this.#shakingHands.set(peer, connection);
    socket.once('close', () => this.#shakingHands.delete(peer));
  }

  /** From now on this one stands for the connection. */
  #greet(socket: Socket): void {
    const peer = peerOf(socket);
    const connection = this.#shakingHands.get(peer);
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    this.#shakingHands.delete(peer);
    connection.socket = socket;
    (socket as Known)[CONNECTION] = connection;
    this.#lookAt(connection);
  }

  /**
   * Whole requests are taken before Node's parser sees them, as long as the client sends such alone and waits for each answer; from then on
   * all is the parser's. So is a connection's first request, since Node watches the time for it, and one of another target: the parser is
   * where it was when that is answered.
   */
  #lookAt(connection: Connection): void {
    const { whole } = this.#options;
    const { socket } = connection;
    const [parse, ...others] = socket.listeners('data') as ((chunk: Buffer) => void)[];
    if (whole === undefined || parse === undefined || others.length > 0) return;
    let first = true;
    // Nobody asks about it any more: what each connection remembers is what the garbage collector has to carry along.
    const over = (): void => {
      connection.last = undefined;
      this.#wholeIsOver();
    };
    const look = (chunk: Buffer): void => {
      const request = isOver(connection.last) && !this.#draining ? wholeRequest(chunk, socket) : undefined;
      if (request === undefined) {
        socket.on('data', parse);
        socket.off('data', look);
        parse(chunk);
      } else if (first || !whole.takes(request.url)) {
        first = false;
        parse(chunk);
      } else if (socket.writable) this.#takeWhole(connection, request, whole.handle, over);
    };
    socket.on('data', look);
    socket.off('data', parse);
    socket.once('close', () => {
      if (connection.last instanceof WholeResponse) connection.last.lost();
    });
  }

  #takeWhole(
    connection: Connection,
    request: WholeRequest,
    handle: (request: WholeRequest, response: WholeResponse) => void,
    over: () => void,
  ): void {
    const { socket } = request;
    // Node's own watch over an idle connection, which each read and write would set anew; the sweep watches it, too.
    if (socket.timeout) socket.setTimeout(0);
    const response = new WholeResponse(socket, this.#kept, over);
    this.#wholes++;
    this.#begin(connection, response);
    handle(request, response);
  }

  readonly #wholeIsOver = (): void => {
    if (--this.#wholes === 0) this.#whenNoWhole?.();
  };

  #closeIdle(): void {
    if (this.#wholes === 0) this.server.closeIdleConnections();
    else this.#whenNoWhole = () => this.server.closeIdleConnections();
  }

  #begin(connection: Connection, response: ServerResponse | WholeResponse): void {
    connection.last = response;
    connection.asked++;
    if (this.#isLeft(connection) || (!connection.trusted && this.#connections.fullness >= 0.9)) response.setHeader('Connection', 'close');
  }

  #takeTurn(request: IncomingMessage, response: ServerResponse, handle: ListenerOptions['handle']): void {
    const connection = connectionOf(request.socket);
    if (connection === undefined || request.socket.destroyed) return;
    const begin = (): void => {
      this.#begin(connection, response);
      handle(request, response);
    };
    if (isOver(connection.last)) {
      begin();
      return;
    }
    this.#hold(connection, begin);
  }

  /** Whether its client is asked to come by another connection. */
  #isLeft({ openedAt }: Connection): boolean {
    if (this.#draining || this.#leaving === undefined) return this.#draining;
    return openedAt < this.#leaving.since || performance.now() >= this.#leaving.last;
  }

  #hold(connection: Connection, begin: () => void): void {
    const { held, socket } = connection;
    if (held.length >= HELD_EACH) {
      if (this.#beyond >= HELD_BEYOND) {
        cutOff(socket);
        return;
      }
      this.#beyond++;
    }
    held.push(begin);
    if (held.length === 1) this.#whenOver(connection);
    if (held.length === HELD_EACH) socket.pause();
  }

  #whenOver(connection: Connection): void {
    const { held, socket } = connection;
    connection.last?.once('close', () => {
      if (socket.destroyed) {
        this.#beyond -= Math.max(0, held.length - HELD_EACH);
        held.length = 0;
        return;
      }
      if (held.length > HELD_EACH) this.#beyond--;
      const begin = held.shift();
      if (held.length === HELD_EACH - 1) socket.resume();
      begin?.();
      if (held.length > 0) this.#whenOver(connection);
    });
  }

  /** What Node's parser refuses never becomes a request; it is answered by hand. */
  #refuseUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
    // No answer to what is not HTTP: a connection reset, a TLS handshake that failed.
    if (!socket.writable || !/^(HPE|ERR_HTTP)_/.test(error.code ?? '')) socket.destroy();
    else if (error.code === 'HPE_HEADER_OVERFLOW') this.#refuse('headers', socket);
    else this.#refuse(error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'timeout' : 'syntax', socket);
  }

  #refuse(why: Unparsable, socket: Socket): void {
    socket.end(refusal(this.#options.refuseUnparsable(why)));
  }
}

function isOver(response: Pick<Answer, 'writableFinished' | 'destroyed'> | undefined): boolean {
  return response === undefined || response.writableFinished || response.destroyed;
}

/** What Node's parser lets pass and RFC 9112 does not (§2.3, §3.2): a foreign version, and any number of Hosts but one. */
function breaksRules({ httpVersion, headers: { host } }: IncomingMessage): boolean {
  const allowed = httpVersion === '1.1' ? host !== undefined : httpVersion === '1.0';
  // No host name has a comma; repeated headers are joined by one.
  return !allowed || host?.includes(',') === true;
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Destroys it, and spares us the rest of what was read with this request: a thousand more may be in the same 64 KiB. */
function cutOff(socket: Socket): void {
  socket.destroy();
  const { parser } = socket as Socket & { parser?: { onIncoming?: unknown } };
  // Node's own hook for each parsed request, in all its versions; where it is gone, each is turned away by the check above.
  if (parser?.onIncoming) parser.onIncoming = () => 0;
}
