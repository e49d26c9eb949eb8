import { granted, refusalOf, refused, writeRefusal } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import { requireScopes } from '#broker/authorization/scope-demand.ts';
import type { AppRoleCredential } from '#broker/credential/approle.ts';
import { PosternError } from '#broker/error.ts';
import { currentSpan, headersOf } from '#broker/span.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange, Trace } from '#broker/token/exchange.ts';
import type { Token } from '#broker/token/token.ts';
import { addFields, replyInTurn } from './reply.ts';
import type { Call, Route } from './route.ts';
import { inOrder } from './steps.ts';
import type { Step } from './steps.ts';
import { waitTurn } from './turn.ts';
import type { Queueing } from './turn.ts';
import { bodyIsLeft, linger } from './unread.ts';
import { shownCredential } from './verify-credential.ts';
import { Demands } from './verify-demand.ts';
import type { Demand } from './verify-demand.ts';
import { refuseKey } from './verify-refusal.ts';

export interface VerifyEndpointOptions {
  exchange: Pick<Exchange, 'run'>;
  audit: AuditLog;
  watch?: ExchangeWatch | undefined;
  /** Default: nobody waits for a turn. */
  queueing?: Queueing | undefined;
  /** By which the life of a token is told, ms since 1970. */
  now?: (token: Token) => number;
}

/**
 * `/verify`: whether a gateway may let a request through (nginx `auth_request`, Envoy `ext_authz` over HTTP, Traefik
 * `forwardAuth`, Caddy `forward_auth`). It takes an API key and answers 200 with what the service behind is to be sent:
 * `Authorization: Bearer <jwt>`, `X-Postern-Tenant`, `X-Postern-Scope`.
 *
 * It decides by the credential and by the gateway's own configuration ({@link Demands}), never by anything else that the client
 * wrote: method, body, path, `X-Forwarded-*` and the like are not looked at. X-Forwarded-For counts as everywhere, from
 * trusted proxies alone.
 */
export function verifyRoutes(options: VerifyEndpointOptions): Route[] {
  const demands = new Demands();
  const run = inOrder(STEPS, refuse);
  const handle = (call: Call) => run(new Verification(call, options, demands));
  // By the demand that was read already; undefined where reading it was the error.
  const answer = (call: Call, error: PosternError) => refuseKey(call, error, refusedDemands.get(call));
  return [
    { path: '/verify', method: 'any', whole: true, ownTurn: true, handle, refuse: answer },
    { path: '/verify/', prefix: true, method: 'any', whole: true, ownTurn: true, handle, refuse: answer },
  ];
}

/** What is known of one request so far. */
class Verification {
  readonly startedAt = performance.now();
  readonly trace: Trace = {};
  readonly call: Call;
  readonly options: VerifyEndpointOptions;
  readonly demands: Demands;
  demand: Demand | undefined = undefined;
  credential: AppRoleCredential | undefined = undefined;
  served: Served | undefined = undefined;
  waited = false;

  constructor(call: Call, options: VerifyEndpointOptions, demands: Demands) {
    this.call = call;
    this.options = options;
    this.demands = demands;
  }
}

/** What the steps before have filled in. */
type Demanded = Verification & { demand: Demand };
type Shown = Demanded & { credential: AppRoleCredential };
type Answered = Shown & { served: Served };

const STEPS = [readDemand, readCredential, takeTurn, takeToken, checkScopes, writeAudit, reply] as Step<Verification>[];
/** Of requests that are being refused. */
const refusedDemands = new WeakMap<Call, Demand>();

function readDemand(request: Verification): void {
  request.demand = request.demands.of(request.call.request.url ?? '');
}

function readCredential(request: Demanded): void {
  request.credential = shownCredential(request.call.request.headers);
}

function takeTurn({ call, credential, options }: Shown): void | Promise<void> {
  return waitTurn(options.queueing, call, credential);
}

function takeToken(request: Shown): void | Promise<void> {
  const { call, credential, demand, options, trace } = request;
  const running = options.exchange.run(credential, demand.request, call.address, trace);
  if (!(running instanceof Promise)) request.served = running;
  else {
    request.waited = true;
    return running.then((served) => {
      request.served = served;
    });
  }
}

function checkScopes({ demand, served }: Answered): void {
  requireScopes(demand.scopes, allowedBy(served).scopes);
}

/** Before the reply, so that no token goes out that the audit knows nothing of. */
function writeAudit(request: Answered): void {
  const { options, served } = request;
  const attempt = attemptOf(request);
  options.audit.write(granted(attempt, served, served.token.remaining((options.now ?? Date.now)(served.token))));
  options.watch?.granted(attempt, served);
}

function reply({ call, served, trace }: Answered): void {
  const { request } = call;
  const { fields = [] } = trace.admission ?? {};
  // The gateway may hand the trace on, so that the service behind is part of it.
  const span = currentSpan();
  const more = span === undefined ? fields : [...fields, ...Object.entries(headersOf(span)).flat()];
  const { headers } = allowedBy(served);
  if (!bodyIsLeft(request)) return replyInTurn(call, headers, '', more);
  linger(request);
  replyInTurn(call, headers, '', [...more, 'Connection', 'close']);
}

function refuse(request: Verification, error: unknown): never {
  if (request.demand !== undefined) refusedDemands.set(request.call, request.demand);
  const { call, options, trace } = request;
  addFields(call, trace.admission?.fields);
  const attempt = attemptOf(request);
  writeRefusal(options.audit, () => refused(attempt, error), refusalOf('verify', trace, error));
  options.watch?.refused(attempt, error);
  throw error;
}

function attemptOf({ call, credential, demand, startedAt, trace, waited }: Verification) {
  return {
    door: 'verify' as const,
    clientId: credential?.clientId,
    audience: demand?.audience,
    trace,
    address: call.address,
    requestId: call.id,
    startedAt,
    waited,
  };
}

/** What does not change from one hit to the next. A token is one tenant's, so all of it is. */
interface Allowed {
  readonly scopes: ReadonlySet<string>;
  readonly headers: readonly string[];
}

const allowed = new WeakMap<Served, Allowed>();
const PRINTABLE = /^[\x20-\x7e]*$/;

function allowedBy(served: Served): Allowed {
  let known = allowed.get(served);
  if (known === undefined) {
    const { token, grant } = served;
    // Replies of one turn are written one after the other: a header that Node refuses would hold up all behind it.
    if (!PRINTABLE.test(token.reveal() + token.scope))
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `the stored token of ${grant.tenant} for ${grant.api} is malformed: delete it from the token cache`,
      });
    known = {
      scopes: new Set(token.scope.split(' ')),
      headers: [
        'Authorization',
        `Bearer ${token.reveal()}`,
        'X-Postern-Tenant',
        grant.tenant,
        'X-Postern-Scope',
        token.scope,
        'Cache-Control',
        'no-store',
        'Content-Length',
        '0',
      ],
    };
    allowed.set(served, known);
  }
  return known;
}
