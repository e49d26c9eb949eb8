import type { Socket } from 'node:net';
import { ClientAddresses, directAddress } from '#broker/client-address.ts';
import { PosternError } from '#broker/error.ts';
import type { ErrorDialect } from '#broker/error.ts';
import type { Lag } from '#broker/listener/lag.ts';
import { Listener } from '#broker/listener/listener.ts';
import type { ListenerOptions } from '#broker/listener/listener.ts';
import type { Reading } from '#broker/listener/reading.ts';
import type { Unparsable } from '#broker/listener/refusal.ts';
import type { Asked } from '#broker/listener/whole-request.ts';
import type { Answer } from '#broker/listener/whole-response.ts';
import type { TlsPair } from '#broker/tls-pair.ts';
import { networksOf } from '#broker/network.ts';
import { Overloaded } from '#broker/overloaded.ts';
import { requestIdOf } from '#broker/request-id.ts';
import { within } from '#broker/span.ts';
import type { Span, Tracer } from '#broker/span.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';
import { errorBody, replyError } from './reply.ts';
import type { Call, Route } from './route.ts';
import { pathOf } from './target.ts';
import { waitTurn } from './turn.ts';
import type { Queueing } from './turn.ts';
import { bodyIsLeft, linger } from './unread.ts';

export interface HttpServerOptions {
  routes: readonly Route[];
  errors: ErrorDialect;
  /** Path of the issuer without its last slash, e.g. `/tenant1`: every route answers below it too. Default: none. */
  basePath?: string;
  /** PEM. */
  tls?: { cert: string; key: string } | undefined;
  /** Whose X-Forwarded-For is believed. Nobody's by default. */
  trustedProxies?: TrustedProxies;
  /** Told once, with its address, when somebody sends X-Forwarded-For and nobody is trusted: a proxy of ours, perhaps. */
  onUntrustedProxy?: (address: string) => void;
  /** Told each time that somebody's X-Forwarded-For isn't believed. */
  onUnbelievedProxy?: (address: string) => void;
  /** Told once, with its address, when a trusted proxy writes an X-Forwarded-For that names no address. */
  onUnreadableProxy?: (address: string) => void;
  /** Most connections open at once. Default 10,000. */
  maxConnections?: number;
  /** Most of one address, or IPv6 /64. Default a fifth of `maxConnections`, 64 at least. */
  maxPerAddress?: number | undefined;
  timeouts?: ListenerOptions['timeouts'];
  /** Requests wait for it, but for those of routes that answer early. It never rejects. */
  starting?: Promise<void>;
  /** Likewise, where it gives one as a request is about to be handled. */
  catchUp?: () => Promise<void> | undefined;
  /** Sheds requests while the event loop is behind. */
  lag?: Pick<Lag, 'stands' | 'sheds'> | undefined;
  /** Where requests wait whose route doesn't wait for a turn itself. Default: none waits. */
  queueing?: Queueing | undefined;
  /** Told of each that is shed for that. */
  onShed?: () => void;
  /** Begins the trace of a request, where one is recorded. */
  tracer?: Tracer | undefined;
  /** Told of every error that a request ended with, to be logged. */
  onError?: (error: unknown, request: { method: string; path: string; address: string; request_id: string }) => void;
}

const MAX_HEADERS = 8 * 1024;

/** The HTTP door: finds the route, and turns every error into an OAuth error body. */
export class HttpServer {
  readonly #listener: Listener;
  readonly #options: HttpServerOptions;
  /** Exact paths, each with its methods. */
  readonly #routes = new Map<string, Route[]>();
  readonly #prefixes: Route[] = [];
  readonly #addresses: ClientAddresses;
  readonly #trustedProxies: TrustedProxies;
  #starting: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#starting = options.starting;
    void options.starting?.then(() => (this.#starting = undefined));
    for (const route of options.routes) {
      if (route.prefix) this.#prefixes.push(route);
      else this.#routes.set(route.path, [...(this.#routes.get(route.path) ?? []), route]);
    }
    const { trustedProxies = new TrustedProxies() } = options;
    this.#trustedProxies = trustedProxies;
    this.#addresses = new ClientAddresses({
      trustedProxies,
      onUntrusted: options.onUntrustedProxy,
      onUnbelieved: options.onUnbelievedProxy,
      onUnreadable: options.onUnreadableProxy,
    });
    this.#listener = new Listener({
      handle: (request, response) => this.#serve(request, response),
      whole: { takes: (target) => this.#takesWhole(target), handle: (request, response) => this.#serve(request, response) },
      refuse: (why, request, response) =>
        this.#fail(
          this.#callOf(request, response),
          new PosternError('invalid_request', why === 'rules' ? 'The request is not valid HTTP/1.1' : 'This expectation cannot be met'),
        ),
      refuseUnparsable: (why) => {
        const error = REFUSALS[why];
        return { status: error.status, type: 'application/json', body: errorBody(error, options.errors) };
      },
      tls: options.tls,
      maxHeaderSize: MAX_HEADERS,
      maxConnections: options.maxConnections ?? 10_000,
      maxPerAddress: options.maxPerAddress,
      isTrusted: (address) => trustedProxies.trusts(address),
      timeouts: options.timeouts,
    });
    this.#listener.server.on('connection', () => options.queueing?.turns.accepted());
  }

  /** Connections: open now, and turned away since the start. */
  get connections(): { readonly open: number; readonly refused: number } {
    return { open: this.#listener.connections, refused: this.#listener.refused };
  }

  /** @returns the port in use */
  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port);
  }

  /** See {@link Listener.useTls}. */
  useTls(tls: TlsPair): void {
    this.#listener.useTls(tls);
  }

  /** See {@link Listener.readingOf}. */
  readingOf(socket: Socket): Reading | undefined {
    return this.#listener.readingOf(socket);
  }

  /** See {@link Listener.leave}. */
  leave(ms: number): void {
    this.#listener.leave(ms);
  }

  /** Takes no new connections, finishes the requests in flight, then stops; at most `graceMs`. */
  close(graceMs: number): Promise<void> {
    return this.#listener.close(graceMs);
  }

  #takesWhole(target: string): boolean {
    return this.#at(pathOf(this.#belowBase(target)))[0]?.whole === true;
  }

  /** Routes, and what a gateway appends, are read from what is left. */
  #belowBase(target: string): string {
    const { basePath } = this.#options;
    return basePath && target.startsWith(`${basePath}/`) ? target.slice(basePath.length) : target;
  }

  #serve(request: Asked, response: Answer): void {
    if (request.url !== undefined) request.url = this.#belowBase(request.url);
    const call = this.#callOf(request, response);
    if (this.#options.lag?.stands === true && this.#sheds(call)) return;
    const span = this.#options.tracer?.request(request.method ?? '', request.headers, this.#believesTrace(request));
    if (span === undefined) return this.#handle(call);
    this.#endWith(span, call);
    within(span, () => this.#handle(call));
  }

  #callOf(request: Asked, response: Answer): Call {
    return { request, response, address: this.#addresses.of(request), id: requestIdOf(request, this.#trustedProxies), asksTurn: false };
  }

  /** At the head, before anything is read or looked up. Probes are answered: they tell whoever sends requests. */
  #sheds(call: Call): boolean {
    const here = this.#at(pathOf(call.request.url ?? ''));
    if (here[0]?.early === true || this.#options.lag?.sheds(networksOf(call.address).at(-1) ?? '') !== true) return false;
    this.#options.onShed?.();
    this.#answer(call, new Overloaded('lag'), here[0]);
    return true;
  }

  /** What trusted proxies say goes on; anybody else's trace is one beside ours. */
  #believesTrace(request: Asked): boolean {
    return request.headers['traceparent'] !== undefined && this.#trustedProxies.trusts(directAddress(request));
  }

  #endWith(span: Span, { request, response, id }: Call): void {
    response.once('close', () => {
      const path = this.#at(pathOf(request.url ?? ''))[0]?.path;
      if (path !== undefined) span.name(`${request.method} ${path}`);
      const { statusCode: status } = response;
      span.set({
        ...(path === undefined ? {} : { 'http.route': path }),
        // Where the client left first, nothing was answered.
        ...(response.headersSent ? { 'http.response.status_code': status } : {}),
        'postern.request_id': id,
        ...(response.writableFinished ? {} : { 'postern.aborted': true }),
      });
      span.end(response.headersSent && status >= 500 ? status : undefined);
    });
  }

  #handle(call: Call): void {
    let route: Route | undefined;
    try {
      route = this.#route(call.request);
      const found = route;
      const waiting = found.ownTurn === true ? undefined : this.#waitTurn(call, found.early === true);
      const handling = waiting === undefined ? this.#run(call, found) : waiting.then(() => this.#run(call, found));
      if (handling instanceof Promise) handling.catch((error: unknown) => this.#fail(call, error, route));
    } catch (error) {
      this.#fail(call, error, route);
    }
  }

  #run(call: Call, route: Route): void | Promise<void> {
    const until = route.early === true ? undefined : (this.#starting ?? this.#options.catchUp?.());
    return until === undefined ? route.handle(call) : until.then(() => route.handle(call));
  }

  #waitTurn(call: Call, probes: boolean): void | Promise<void> {
    const { queueing } = this.#options;
    return waitTurn(queueing, call, undefined, probes ? (this.#listener.isFirst(call.request.socket) ? 'new' : 'kept') : undefined);
  }

  /** What is refused before it had a turn has one, too: it costs no less than what is served. */
  #fail(call: Call, error: unknown, route?: Route): void {
    const answer = (told: unknown): void => this.#answer(call, told, route);
    try {
      const waiting = call.asksTurn ? undefined : this.#waitTurn(call, false);
      if (waiting === undefined) answer(error);
      else void waiting.then(() => answer(error), answer);
    } catch (shed) {
      answer(shed);
    }
  }

  #route(request: Asked): Route {
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
    const { request, response, address, id } = call;
    // Whatever is not ours is our own fault; it is answered as such, and what it says stays in the log.
    const known =
      error instanceof PosternError
        ? error
        : new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { retryAfter: 1 });
    // Only a path of ours is told: any other is the client's own text, and may hold a secret.
    const path = this.#at(pathOf(request.url ?? ''))[0]?.path ?? 'unknown';
    this.#options.onError?.(error, { method: request.method ?? '', path, address, request_id: id });
    if (error instanceof MethodNotAllowed) response.setHeader('Allow', error.allow);
    if (bodyIsLeft(request)) linger(request);
    else if (known instanceof Overloaded) this.#listener.rest(request, response, (known.retryAfter ?? 1) * 1000);
    if (route?.refuse && !response.headersSent) route.refuse(call, known);
    else replyError(call, known, this.#options.errors);
  }
}

class MethodNotAllowed extends PosternError {
  readonly allow: string;

  constructor(here: readonly Route[]) {
    super('method_not_allowed', 'Method not allowed');
    this.allow = here.map(({ method }) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ');
  }
}

const REFUSALS: Readonly<Record<Unparsable, PosternError>> = {
  headers: new PosternError('header_fields_too_large', 'The request headers are too large'),
  timeout: new PosternError('request_timeout', 'The request took too long'),
  syntax: new PosternError('invalid_request', 'The request is not valid HTTP/1.1'),
  connect: new PosternError('method_not_allowed', 'CONNECT is not supported'),
};
