import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeOutcome } from '#broker/audit/admin-event.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { answerAudited } from '#broker/admin/answer.ts';
import type { Told } from '#broker/admin/answer.ts';
import { readJsonBodies } from '#broker/admin/body.ts';
import { Failures } from '#broker/admin/failures.ts';
import { Idempotency } from '#broker/admin/idempotency.ts';
import type { RepeatableAnswer } from '#broker/admin/idempotency.ts';
import { inputOf } from '#broker/admin/input.ts';
import { missing, pathOf, pathsOf } from '#broker/admin/path.ts';
import { Problem, instanceOf, problemOf } from '#broker/admin/problem.ts';
import { Rate } from '#broker/admin/rate.ts';
import { admissionLine, lineOf } from '#broker/audit/admin-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { newRequestId } from '#broker/request-id.ts';
import type { Person } from '#broker/operator/key/owned.ts';
import { KEY_ID } from '#broker/credential/owner.ts';
import type { People } from './caller.ts';
import { selfOperations } from './keys.ts';
import { eventsIn } from './log-stream.ts';
import type { LogStream } from './log-stream.ts';
import { selfDocument } from './openapi.ts';
import type { SelfCall, SelfOperation } from './operation.ts';

export interface SelfServerOptions {
  /** Undefined: people make no keys here. */
  people: Pick<People, 'identify'> | undefined;
  /** Undefined: Auth0 delivers nothing here. */
  logStream: LogStream | undefined;
  audit: AuditLog;
  /** Of the product, for the document. */
  version: string;
  lastUse: SelfCall<unknown, unknown, unknown>['lastUse'];
  /** Requests a minute of one person; of one tenant ten times as many. Default 60. */
  rate?: number;
  /** ms of a clock that never goes back. */
  now?: () => number;
  onError?: (error: unknown, request: { path: string; address: string; instance: string; problem: string; status: number }) => void;
}

/** Longest wait for changes of the same tenant that came before, ms. Whose turn comes may then wait for a list that hangs. */
const TURN = 4_000;
const MAX_BODY = 16 * 1024;
const MAX_DELIVERY = 1024 * 1024;
export const LOG_STREAM_PATH = '/self/v1/auth0-logs';
const DOCUMENT_PATH = '/self/v1/openapi.json';
/** No page may frame or script what this answers; it has no cookies, so no other site's form does anything. */
const HEADERS = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
};

/** The door for people, on the customers' listener: below `/self/`. */
export class SelfServer {
  readonly #options: SelfServerOptions;
  readonly #app: FastifyInstance;
  #handle: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  readonly #idempotency = new Idempotency();
  readonly #rate: Rate;
  readonly #tenantRate: Rate;
  readonly #failures: Failures;
  readonly #people = new WeakMap<FastifyRequest, Person>();
  readonly #calls = new WeakMap<IncomingMessage, { readonly address: string; readonly id: string }>();
  /** The last change of a tenant's keys under way, so that of two at once the second counts the first. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: SelfServerOptions) {
    this.#options = options;
    const { rate = 60, now } = options;
    this.#rate = new Rate({ perMinute: rate, now });
    this.#tenantRate = new Rate({ perMinute: rate * 10, now });
    this.#failures = new Failures(rate * 10, now);
    const served = options.people === undefined ? [] : selfOperations;
    const paths = [
      ...pathsOf(served, options.people === undefined ? [] : [DOCUMENT_PATH]),
      ...(options.logStream === undefined ? [] : [{ pattern: new RegExp(`^${LOG_STREAM_PATH}$`), methods: ['POST'] }]),
    ].filter(({ pattern }) => !pattern.test('/openapi.json'));
    const none = (request: FastifyRequest): Problem => {
      const problem = missing(pathOf(request), paths);
      return problem.slug === 'not-found' ? new Problem('not-found', `There is nothing at this address; see ${DOCUMENT_PATH}`) : problem;
    };
    const app = fastify({
      bodyLimit: MAX_BODY,
      genReqId: (request) => this.#calls.get(request)?.id ?? newRequestId(),
      return503OnClosing: false,
      clientErrorHandler: () => {},
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => this.#refuse(error, request, reply),
      // It never listens: the customers' door hands over what is below /self/.
      serverFactory: (handle) => {
        this.#handle = handle;
        return createServer();
      },
    });
    readJsonBodies(app);
    app.addHook('onRequest', async (request, reply) => {
      void reply.headers({ ...HEADERS, 'X-Request-Id': request.id });
      if (request.is404) throw none(request);
    });
    app.setErrorHandler((error, request, reply) => this.#refuse(error, request, reply));
    app.setNotFoundHandler((request, reply) => this.#refuse(none(request), request, reply));
    if (options.people !== undefined) {
      const document = Buffer.from(JSON.stringify(selfDocument(selfOperations, options.version)));
      app.get(DOCUMENT_PATH, (_request, reply) => reply.type('application/json').send(document));
      for (const operation of selfOperations) this.#add(app, operation, options.people);
    }
    if (options.logStream !== undefined) this.#receive(app, options.logStream);
    this.#app = app;
  }

  ready(): Promise<void> {
    return Promise.resolve(this.#app.ready()).then(() => {});
  }

  close(): Promise<void> {
    return this.#app.close();
  }

  handle({ request, response, address, id }: { request: IncomingMessage; response: ServerResponse; address: string; id: string }): void {
    this.#calls.set(request, { address, id });
    this.#handle(request, response);
  }

  #add(app: FastifyInstance, operation: SelfOperation, people: Pick<People, 'identify'>): void {
    app.route({
      method: operation.method,
      url: operation.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      // Before the body is read: nobody unknown makes us parse anything.
      onRequest: async (request) => {
        const address = this.#addressOf(request);
        this.#requireAllowance(address, request);
        const admit = (organization: string, id: string): void => this.#takeTurn(organization, id);
        const person = await people.identify(request.headers, admit).catch((error: unknown) => this.#rethrow(error, address, request));
        this.#people.set(request, person);
      },
      handler: (request, reply) => this.#serve(request, reply, operation),
    });
  }

  /** Auth0's deliveries, in a context of their own: other bodies, another limit. */
  #receive(app: FastifyInstance, logStream: LogStream): void {
    void app.register(async (inner) => {
      inner.removeAllContentTypeParsers();
      inner.addContentTypeParser<string>('*', { parseAs: 'string', bodyLimit: MAX_DELIVERY }, (_request, body, done) => done(null, body));
      inner.route({
        method: 'POST',
        url: LOG_STREAM_PATH,
        bodyLimit: MAX_DELIVERY,
        onRequest: async (request) => {
          const address = this.#addressOf(request);
          try {
            logStream.admit(request.headers.authorization);
          } catch (error) {
            // The right secret is never kept out by what others sent from its address: people who left would go on.
            this.#requireAllowance(address, request);
            this.#rethrow(error, address, request);
          }
        },
        handler: async (request, reply) => {
          const begin = performance.now();
          const taken = await logStream.take(eventsIn(typeof request.body === 'string' ? request.body : ''));
          if (taken.departures > 0)
            this.#options.audit.write(
              lineOf({
                time: new Date().toISOString(),
                request_id: request.id,
                event: 'self.departures',
                outcome: 'done',
                departures: taken.departures,
                address: this.#addressOf(request),
                ms: Math.round(performance.now() - begin),
              }),
            );
          return reply.code(204).send();
        },
      });
    });
  }

  async #serve(request: FastifyRequest, reply: FastifyReply, operation: SelfOperation): Promise<FastifyReply> {
    const person = this.#people.get(request);
    if (person === undefined) throw new Problem('invalid-token', 'The request was not admitted');
    const begin = performance.now();
    const written = (outcome: ChangeOutcome, more: Told): void => {
      if (!operation.changes) return;
      const named = { ...(request.params as object), ...(more.answer?.body as object | undefined) } as { key_id?: unknown };
      this.#options.audit.write(
        lineOf({
          time: new Date().toISOString(),
          event: `self.${operation.id}`,
          outcome,
          caller: person.id,
          by: 'jwt',
          address: this.#addressOf(request),
          request_id: request.id,
          ms: Math.round(performance.now() - begin),
          tenant: person.tenant,
          key_id: typeof named.key_id === 'string' && KEY_ID.test(named.key_id) ? named.key_id : undefined,
          error: more.error === undefined ? undefined : problemOf(more.error).slug,
        }),
      );
    };
    return answerAudited(reply, () => this.#run(person, request, operation), written);
  }

  async #run(person: Person, request: FastifyRequest, operation: SelfOperation): Promise<{ answer: RepeatableAnswer; replayed: boolean }> {
    const { params, query, body, key } = inputOf(request, operation);
    const call = (marker: string | undefined, keep: SelfCall<unknown, unknown, unknown>['keep']) => ({
      person,
      params,
      query,
      body,
      path: pathOf(request),
      marker,
      keep,
      lastUse: this.#options.lastUse,
    });
    const nothing = async (): Promise<void> => {};
    const run = (marker: string | undefined, keep = nothing as SelfCall<unknown, unknown, unknown>['keep']) =>
      operation.changes ? this.#inTurn(person.tenant, () => operation.handle(call(marker, keep))) : operation.handle(call(marker, keep));
    if (key === undefined) return { answer: await run(undefined), replayed: false };
    return this.#idempotency.run(
      person.access,
      {
        caller: `${person.tenant} ${person.id}`,
        operation: operation.id,
        key,
        input: { params, query, body },
        place: `state/self/${person.tenant}`,
      },
      {
        run,
        recover: async (marker, draft) => operation.recover?.(call(marker, nothing), draft),
        undo: async (answer) => operation.undo?.(call(undefined, nothing), answer),
      },
    );
  }

  /** One after the other, of one tenant on this replica. @throws {Problem} temporarily-unavailable where it takes those before too long */
  async #inTurn<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(tenant) ?? Promise.resolve();
    const mine = Promise.withResolvers<void>();
    const ended = before.then(() => mine.promise);
    this.#turns.set(tenant, ended);
    void ended.then(() => {
      if (this.#turns.get(tenant) === ended) this.#turns.delete(tenant);
    });
    const waiting = new AbortController();
    try {
      const late = sleep(TURN, 'late', { signal: waiting.signal, ref: false }).catch(() => {});
      if ((await Promise.race([before, late])) === 'late')
        throw new Problem('temporarily-unavailable', 'A change of a colleague of yours takes long; try again later', { retryAfter: 1 });
      waiting.abort();
      return await work();
    } finally {
      mine.resolve();
    }
  }

  /** Of an organization there is one tenant at most. Who has used up their own allowance uses up nothing of their colleagues'. */
  #takeTurn(organization: string, id: string): void {
    const wait = this.#rate.take(`${organization} ${id}`) || this.#tenantRate.take(organization);
    if (wait === 0) return;
    throw new Problem('too-many-requests', 'You ask too often, or all of your organization do', { retryAfter: wait });
  }

  #addressOf(request: FastifyRequest): string {
    return this.#calls.get(request.raw)?.address ?? '';
  }

  #requireAllowance(address: string, request: FastifyRequest): void {
    const banned = this.#failures.wait(address);
    if (banned === 0) return;
    const problem = new Problem('too-many-requests', 'Too many wrong credentials came from this address', { retryAfter: banned });
    this.#options.audit.write(...admissionLine('self.admission', request.id, address, problem.slug));
    throw problem;
  }

  #rethrow(error: unknown, address: string, request: FastifyRequest): never {
    if (error instanceof Problem && error.slug === 'invalid-token') {
      this.#failures.take(address);
      this.#options.audit.write(...admissionLine('self.admission', request.id, address, error.slug));
    }
    throw error;
  }

  #refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const problem = inOwnWords(problemOf(error));
    this.#options.onError?.(problem.options.cause ?? error, {
      // Any other path is the client's own text, and may hold a secret.
      path: request.routeOptions?.url ?? 'unknown',
      address: this.#addressOf(request),
      instance: instanceOf(request.id),
      problem: problem.slug,
      status: problem.status,
    });
    return reply
      .headers({ ...HEADERS, 'X-Request-Id': request.id, ...problem.headers() })
      .code(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem.body(instanceOf(request.id))));
  }
}

/** What Vault refuses to whom is the operator's to read, in the log; a person learns that it is not theirs to do. */
function inOwnWords(problem: Problem): Problem {
  const { slug, options } = problem;
  const vault = slug === 'access-denied' && options.cause !== undefined;
  const detail = vault ? "Your organization's people make no keys of their own here, or this is not yours to do" : problem.message;
  return new Problem(slug, slug === 'payload-too-large' ? 'The body is too large' : detail, { ...options, realm: 'postern-self' });
}
