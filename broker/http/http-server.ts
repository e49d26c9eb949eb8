import { STATUS_CODES, createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIP } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import proxyAddr from 'proxy-addr';
import { PosternError } from '#broker/error.ts';
import type { ErrorDialect } from '#broker/error.ts';
import { errorBody, replyError } from './reply.ts';
import type { Call, Route } from './route.ts';
import { pathOf } from './target.ts';
import { bodyIsLeft, linger } from './unread.ts';

export interface HttpServerOptions {
  routes: readonly Route[];
  errors: ErrorDialect;
  /** PEM. */
  tls?: { cert: string; key: string } | undefined;
  /** Addresses or CIDR ranges of proxies whose X-Forwarded-For is believed. None by default. */
  trustedProxies?: readonly string[];
  /** Told once, with its address, when somebody sends X-Forwarded-For and nobody is trusted: a proxy of ours, perhaps. */
  onUntrustedProxy?: (address: string) => void;
  /** Most connections open at once. Default 10,000. */
  maxConnections?: number;
  /** ms; for tests, which have no 15 s. */
  timeouts?: Partial<typeof TIMEOUTS>;
  /** Told of every error that a request ended with, to be logged. */
  onError?: (error: unknown, request: { method: string; path: string; address: string }) => void;
}

/** Node's defaults (60 s, 300 s, each 30 s) let slow clients hold sockets for minutes. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 15_000, connectionsCheckingInterval: 1_000, keepAliveTimeout: 65_000 };
const MAX_HEADERS = 8 * 1024;

/** The HTTP door: finds the route, and turns every error into an OAuth error body. */
export class HttpServer {
  readonly #server: Server;
  readonly #options: HttpServerOptions;
  /** Exact paths, each with its methods. */
  readonly #routes = new Map<string, Route[]>();
  readonly #prefixes: Route[] = [];
  readonly #trust: ((address: string, hop: number) => boolean) | undefined;
  #draining = false;
  #toldOfProxy = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    for (const route of options.routes) {
      if (route.prefix) this.#prefixes.push(route);
      else this.#routes.set(route.path, [...(this.#routes.get(route.path) ?? []), route]);
    }
    this.#trust = options.trustedProxies?.length ? proxyAddr.compile([...options.trustedProxies]) : undefined;
    const settings: ServerOptions = {
      ...TIMEOUTS,
      ...options.timeouts,
      maxHeaderSize: MAX_HEADERS,
      noDelay: true,
      keepAlive: true,
      insecureHTTPParser: false,
      // By default Node shows the first of two Authorization or Content-Type headers and hides the other; joined, they are refused.
      joinDuplicateHeaders: true,
      // Node would answer by itself, with no body and no Cache-Control: see refuseBrokenRules.
      requireHostHeader: false,
    };
    const listener = (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response);
    this.#server = options.tls
      ? createTlsServer({ ...settings, ...options.tls, minVersion: 'TLSv1.2' }, listener)
      : createServer(settings, listener);
    this.#server.maxConnections = options.maxConnections ?? 10_000;
    this.#server.on('clientError', (error, socket) => this.#refuseUnparsable(error, socket as Socket));
    // An unknown expectation (RFC 9110 §10.1.1) and a CONNECT get an answer too.
    this.#server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      this.#answer({ request, response, address: '' }, new PosternError('invalid_request', 'This expectation cannot be met'), undefined),
    );
    this.#server.on('connect', (_request, socket) =>
      (socket as Socket).end(rawReply(new PosternError('method_not_allowed', 'CONNECT is not supported'), options.errors)),
    );
  }

  /** @returns the port in use */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      // Node's backlog of 511 resets connections when a thousand clients come at once.
      this.#server.listen({ port, host, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Takes no new connections, finishes the requests in flight, then stops; at most `graceMs`. */
  close(graceMs: number): Promise<void> {
    this.#draining = true;
    // A connection whose answer is under way now would be kept, and hold up the end, for this long.
    this.#server.keepAliveTimeout = 1;
    return new Promise((resolve) => {
      const late = setTimeout(() => this.#server.closeAllConnections(), graceMs);
      this.#server.close(() => {
        clearTimeout(late);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    if (this.#draining) response.setHeader('Connection', 'close');
    const call: Call = { request, response, address: this.#addressOf(request) };
    let route: Route | undefined;
    try {
      refuseBrokenRules(request);
      route = this.#route(request);
      const handling = route.handle(call);
      if (handling instanceof Promise) handling.catch((error: unknown) => this.#answer(call, error, route));
    } catch (error) {
      this.#answer(call, error, route);
    }
  }

  #addressOf(request: IncomingMessage): string {
    const direct = request.socket.remoteAddress ?? '';
    if (this.#trust === undefined) {
      if (!this.#toldOfProxy && request.headers['x-forwarded-for'] !== undefined) {
        this.#toldOfProxy = true;
        this.#options.onUntrustedProxy?.(direct);
      }
      return direct;
    }
    // A trusted proxy may pass on what its client wrote; only an address counts as one.
    const told = proxyAddr(request, this.#trust);
    return isIP(told) ? told : direct;
  }

  #route(request: IncomingMessage): Route {
    const path = pathOf(request.url ?? '/');
    const here = this.#at(path);
    if (here.length === 0) throw new PosternError('not_found', 'Not Found');
    const { method } = request;
    const route = here.find((route) => route.method === method || route.method === 'any' || (method === 'HEAD' && route.method === 'GET'));
    if (route === undefined) throw new MethodNotAllowed(here);
    return route;
  }

  #at(path: string): readonly Route[] {
    return this.#routes.get(path) ?? this.#prefixes.filter((route) => path.startsWith(route.path)).slice(0, 1);
  }

  #answer(call: Call, error: unknown, route: Route | undefined): void {
    const { request, response, address } = call;
    // Whatever is not ours is our own fault; it is answered as such, and what it says stays in the log.
    const known =
      error instanceof PosternError
        ? error
        : new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { retryAfter: 1 });
    // Only a path of ours is told: any other is the client's own text, and may hold a secret.
    const path = this.#at(pathOf(request.url ?? ''))[0]?.path ?? 'unknown';
    this.#options.onError?.(error, { method: request.method ?? '', path, address });
    if (error instanceof MethodNotAllowed) response.setHeader('Allow', error.allow);
    if (bodyIsLeft(request)) linger(request);
    if (route?.refuse && !response.headersSent) route.refuse(call, known);
    else replyError(request, response, known, this.#options.errors);
  }

  /** What Node's parser refuses never becomes a request; it is answered by hand. */
  #refuseUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    socket.end(rawReply(unparsable(error.code), this.#options.errors));
  }
}

/** What Node's parser lets pass and RFC 9112 does not (§2.3, §3.2): a foreign version, and any number of Hosts but one. */
function refuseBrokenRules({ httpVersion, headers: { host } }: IncomingMessage): void {
  const allowed = httpVersion === '1.1' ? host !== undefined : httpVersion === '1.0';
  // No host name has a comma; repeated headers are joined by one.
  if (!allowed || host?.includes(',')) throw new PosternError('invalid_request', 'The request is not valid HTTP/1.1');
}

class MethodNotAllowed extends PosternError {
  readonly allow: string;

  constructor(here: readonly Route[]) {
    super('method_not_allowed', 'Method not allowed');
    this.allow = here.map(({ method }) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ');
  }
}

function unparsable(code: string | undefined): PosternError {
  if (code === 'HPE_HEADER_OVERFLOW') return new PosternError('header_fields_too_large', 'The request headers are too large');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new PosternError('request_timeout', 'The request took too long');
  return new PosternError('invalid_request', 'The request is not valid HTTP/1.1');
}

function rawReply(error: PosternError, dialect: ErrorDialect): string {
  const body = errorBody(error, dialect);
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    // RFC 9110 §15.5.6: a 405 names what may be used; for CONNECT that is nothing.
    ...(error.status === 405 ? ['Allow: '] : []),
    'Content-Type: application/json',
    'Cache-Control: no-store',
    'Connection: close',
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}
