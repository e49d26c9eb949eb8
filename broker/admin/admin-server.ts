import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { admissionLine, lineOf } from '#broker/audit/admin-event.ts';
import type { ChangeOutcome, AdminEvent } from '#broker/audit/admin-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { RecentChanges } from '#broker/audit/recent-changes.ts';
import { ClientAddresses } from '#broker/client-address.ts';
import { NAME } from '#broker/credential/identity.ts';
import { Listener } from '#broker/listener/listener.ts';
import type { ListenerOptions } from '#broker/listener/listener.ts';
import type { Broken, Unparsable } from '#broker/listener/refusal.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { KEY_ID } from '#broker/operator/key/list.ts';
import { ACCESSOR } from '#broker/operator/name.ts';
import { requestIdOf } from '#broker/request-id.ts';
import type { TlsPair } from '#broker/tls-pair.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';
import { answerAudited } from './answer.ts';
import type { Told } from './answer.ts';
import { readJsonBodies } from './body.ts';
import type { Caller, Callers } from './caller.ts';
import { changeOperations } from './changes.ts';
import { CONSOLE_PATHS, serveConsole } from './console/console.ts';
import type { ConsoleOptions } from './console/console.ts';
import { grantOperations } from './grants.ts';
import { Idempotency } from './idempotency.ts';
import type { RepeatableAnswer } from './idempotency.ts';
import { inputOf } from './input.ts';
import { keyOperations } from './keys.ts';
import { openApiDocument } from './openapi.ts';
import type { AdminCall, Operation } from './operation.ts';
import { missing, pathOf, pathsOf } from './path.ts';
import type { Path } from './path.ts';
import { Problem, instanceOf, problemOf } from './problem.ts';
import type { Slug } from './problem.ts';
import { Failures } from './failures.ts';
import { Rate } from './rate.ts';
import { tenantOperations } from './tenants.ts';
import { quotaOperations } from './quota.ts';
import { trustOperations } from './trusts.ts';

/** The port to what is counted. */
export interface Metrics {
  /** @param accept of the request */
  render(accept: string | undefined): Promise<{ readonly type: string; readonly body: string }>;
}

export interface AdminServerOptions {
  callers: Pick<Callers, 'identify'>;
  audit: AuditLog;
  /** Of the product, for the document. */
  version: string;
  idempotency?: Idempotency;
  /** PEM. */
  tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Whose X-Forwarded-For is believed. Nobody's by default. */
  trustedProxies?: TrustedProxies;
  /** Told once, with its address, when a trusted proxy writes an X-Forwarded-For that names no address. */
  onUnreadableProxy?: (address: string) => void;
  /** Requests a minute of one caller, and wrong credentials a minute of one address. Default 600. */
  rate?: number;
  timeouts?: ListenerOptions['timeouts'];
  /** What `/metrics` tells whoever may look at tenants; undefined: nothing. */
  metrics?: Pick<Metrics, 'render'> | undefined;
  /** Pages for people, beside the API; undefined: none. */
  console?: Omit<ConsoleOptions, 'version'> | undefined;
  changes?: RecentChanges;
  /** Told of every error that a request ended with, to be logged. */
  onError?: (
    error: unknown,
    request: {
      method: string;
      path: string;
      address: string;
      instance: string;
      problem: Slug;
      status: number;
      caller?: string | undefined;
    },
  ) => void;
}

export const OPERATIONS: readonly Operation[] = [
  ...tenantOperations,
  ...grantOperations,
  ...keyOperations,
  ...trustOperations,
  ...quotaOperations,
  ...changeOperations,
];

const MAX_BODY = 256 * 1024;
const MAX_HEADERS = 16 * 1024;
const MAX_CONNECTIONS = 1000;

/** The admin door: a listener of its own, apart from that of customers. */
export class AdminServer {
  readonly #app: FastifyInstance;
  readonly #listener: Listener;
  readonly #options: AdminServerOptions;
  readonly #idempotency: Idempotency;
  readonly #addresses: ClientAddresses;
  readonly #rate: Rate;
  readonly #failures: Failures;
  readonly #callers = new WeakMap<FastifyRequest, Caller>();
  readonly #documents: Buffer;
  readonly #changes: RecentChanges;
  readonly #paths: readonly Path[];

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#idempotency = options.idempotency ?? new Idempotency();
    this.#changes = options.changes ?? new RecentChanges();
    const pages = options.console === undefined ? [] : CONSOLE_PATHS;
    this.#paths = pathsOf(OPERATIONS, options.metrics === undefined ? pages : [...pages, '/metrics']);
    this.#rate = new Rate({ perMinute: options.rate ?? 600 });
    this.#failures = new Failures(options.rate ?? 600);
    this.#documents = Buffer.from(JSON.stringify(openApiDocument(OPERATIONS, options.version)));
    const { trustedProxies = new TrustedProxies() } = options;
    this.#addresses = new ClientAddresses({ trustedProxies, onUnreadable: options.onUnreadableProxy });
    let listener: Listener | undefined;
    const app = fastify({
      bodyLimit: MAX_BODY,
      genReqId: (request) => requestIdOf(request, trustedProxies, randomUUID),
      // Requests under way are answered while the door closes.
      return503OnClosing: false,
      // The listener does it.
      clientErrorHandler: () => {},
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => this.#refuse(error, request, reply),
      serverFactory: (handle) => {
        listener = new Listener({
          handle,
          refuse: refuseBroken,
          refuseUnparsable: (why) => rawAnswer(REFUSALS[why]),
          tls: options.tls,
          maxHeaderSize: MAX_HEADERS,
          maxConnections: MAX_CONNECTIONS,
          isTrusted: (address) => trustedProxies.trusts(address),
          timeouts: options.timeouts,
        });
        return listener.server;
      },
    });
    this.#listener = listener!;
    readJsonBodies(app);
    app.addHook('onRequest', async (request, reply) => {
      void reply.headers({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff', 'X-Request-Id': request.id });
      // Whatever its body is: what has no route is parsed by nobody.
      if (request.is404) throw missing(pathOf(request), this.#paths);
    });
    app.setErrorHandler((error, request, reply) => this.#refuse(error, request, reply));
    app.setNotFoundHandler((request, reply) => this.#refuse(missing(pathOf(request), this.#paths), request, reply));
    app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(this.#documents));
    if (options.metrics !== undefined) this.#tellMetrics(app, options.metrics);
    if (options.console !== undefined) serveConsole(app, { ...options.console, version: options.version });
    for (const operation of OPERATIONS) this.#add(app, operation);
    this.#app = app;
  }

  /** @returns the port in use */
  async listen(host: string, port: number): Promise<number> {
    await this.#app.ready();
    return this.#listener.listen(host, port);
  }

  /** See {@link Listener.useTls}. */
  useTls(tls: TlsPair): void {
    this.#listener.useTls(tls);
  }

  /** See {@link Listener.leave}. */
  leave(ms: number): void {
    this.#listener.leave(ms);
  }

  /** Takes no new connections, finishes the requests in flight, then stops; at most `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await this.#listener.close(graceMs);
    await this.#app.close();
  }

  #add(app: FastifyInstance, operation: Operation): void {
    app.route({
      method: operation.method,
      url: operation.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      // Before the body is read: nobody unknown makes us parse anything.
      onRequest: async (request) => this.#admit(request, operation),
      handler: (request, reply) => this.#serve(request, reply, operation),
    });
  }

  /** They lie in this process, so Vault is asked whether the caller may look at all. */
  #tellMetrics(app: FastifyInstance, metrics: Metrics): void {
    app.get(
      '/metrics',
      { onRequest: async (request) => this.#admit(request, { need: { permission: 'read:tenants', changes: false } }) },
      async (request, reply) => {
        await readAnnouncements(this.#callers.get(request)!.access);
        const { type, body } = await metrics.render(request.headers.accept);
        return reply.type(type).send(body);
      },
    );
  }

  async #admit(request: FastifyRequest, operation: Pick<Operation, 'need'>): Promise<void> {
    const { headers } = request;
    const ip = this.#addresses.of(request.raw);
    const banned = this.#failures.wait(ip);
    if (banned > 0)
      throw this.#stranger(
        request,
        ip,
        new Problem('too-many-requests', 'Too many wrong credentials came from this address', { retryAfter: banned }),
      );
    const caller = await this.#options.callers.identify(headers, operation.need).catch((error: unknown) => {
      if (!(error instanceof Problem) || error.slug !== 'invalid-token') throw error;
      this.#failures.take(ip);
      throw this.#stranger(request, ip, error);
    });
    const wait = this.#rate.take(caller.id);
    if (wait > 0) throw new Problem('too-many-requests', 'This caller asks too often', { retryAfter: wait });
    this.#callers.set(request, caller);
  }

  #stranger({ id }: FastifyRequest, address: string, problem: Problem): Problem {
    this.#options.audit.write(...admissionLine('admin.admission', id, address, problem.slug));
    return problem;
  }

  async #serve(request: FastifyRequest, reply: FastifyReply, operation: Operation): Promise<FastifyReply> {
    const caller = this.#callers.get(request);
    if (caller === undefined) throw new Problem('invalid-token', 'The request was not admitted');
    const begin = performance.now();
    const written = (outcome: ChangeOutcome, more: Told): void => {
      if (!operation.need.changes) return;
      const { tenant, key_id, accessor, trust } = { ...namesIn(request.body), ...namesIn(request.params), ...namesIn(more.answer?.body) };
      const event: AdminEvent = {
        time: new Date().toISOString(),
        event: `admin.${operation.id}`,
        outcome,
        caller: caller.name.slice(0, 256),
        by: caller.by,
        address: this.#addresses.of(request.raw),
        request_id: request.id,
        ms: Math.round(performance.now() - begin),
        tenant,
        key_id,
        accessor,
        trust,
        error: more.error === undefined ? undefined : problemOf(more.error).slug,
      };
      this.#options.audit.write(lineOf(event));
      this.#changes.record(event);
    };
    return answerAudited(reply, () => this.#run(caller, request, operation), written);
  }

  async #run(caller: Caller, request: FastifyRequest, operation: Operation): Promise<{ answer: RepeatableAnswer; replayed: boolean }> {
    const { params, query, body, key } = inputOf(request, operation);
    const call = (marker: string | undefined, keep: AdminCall<unknown, unknown, unknown>['keep']) => ({
      caller,
      params,
      query,
      body,
      path: pathOf(request),
      marker,
      keep,
      changes: this.#changes,
    });
    if (key === undefined) return { answer: await operation.handle(call(undefined, async () => {})), replayed: false };
    const { recover, undo } = operation;
    return this.#idempotency.run(
      caller.access,
      { caller: caller.id, operation: operation.id, key, input: { params, query, body } },
      {
        run: (marker, keep) => operation.handle(call(marker, keep)),
        ...(recover === undefined
          ? {}
          : {
              recover: (marker, draft) =>
                recover(
                  call(marker, async () => {}),
                  draft,
                ),
            }),
        ...(undo === undefined
          ? {}
          : {
              undo: (answer) =>
                undo(
                  call(undefined, async () => {}),
                  answer,
                ),
            }),
      },
    );
  }

  #refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const problem = problemOf(error);
    this.#options.onError?.(problem.options.cause ?? error, {
      method: request.method,
      // Any other path is the client's own text, and may hold a secret.
      path: request.routeOptions?.url ?? 'unknown',
      address: this.#addresses.of(request.raw),
      instance: instanceOf(request.id),
      problem: problem.slug,
      status: problem.status,
      caller: this.#callers.get(request)?.name,
    });
    return reply
      .headers({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff', 'X-Request-Id': request.id, ...problem.headers() })
      .code(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem.body(instanceOf(request.id))));
  }
}

/** What a request or an answer names, for the audit. Only what is a name: anything else may be a secret in the wrong place. */
function namesIn(value: unknown): { tenant?: string; key_id?: string; accessor?: string; trust?: string } {
  const forms = Object.entries({ tenant: NAME, key_id: KEY_ID, accessor: ACCESSOR, trust: NAME });
  const found = (value ?? {}) as Record<string, unknown>;
  return Object.fromEntries(
    forms.flatMap(([name, form]) => (typeof found[name] === 'string' && form.test(found[name]) ? [[name, found[name]]] : [])),
  );
}

function rawAnswer(problem: Problem): { status: number; type: string; body: string } {
  return { status: problem.status, type: 'application/problem+json', body: JSON.stringify(problem.body(instanceOf(randomUUID()))) };
}

function refuseBroken(why: Broken, _request: IncomingMessage, response: ServerResponse): void {
  const { status, type, body } = rawAnswer(
    why === 'rules' ? REFUSALS.syntax : new Problem('malformed-request', 'This expectation cannot be met'),
  );
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store', 'Content-Length': Buffer.byteLength(body) }).end(body);
}

const REFUSALS: Readonly<Record<Unparsable, Problem>> = {
  headers: new Problem('header-fields-too-large', `The headers are larger than ${MAX_HEADERS} bytes`),
  timeout: new Problem('request-timeout', 'The request took too long'),
  syntax: new Problem('malformed-request', 'The request is not valid HTTP/1.1'),
  connect: new Problem('method-not-allowed', 'CONNECT is not supported', { allow: [] }),
};
