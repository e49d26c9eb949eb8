import { granted, refusalOf, refused, writeRefusal } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import { PosternError } from '#broker/error.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange, Trace } from '#broker/token/exchange.ts';
import type { Token } from '#broker/token/token.ts';
import { NOTHING, known, receiveBody, sentIn } from './body.ts';
import type { Receiving } from './body.ts';
import { clientCredentialsGrant } from './client-credentials-grant.ts';
import { jwtBearerGrant } from './jwt-bearer-grant.ts';
import type { Asked, TokenGrant } from './grant.ts';
import { optional, refuseQuery, required } from './parameter.ts';
import type { Sent } from './parameter.ts';
import { addFields, replyToken } from './reply.ts';
import type { Call, Route } from './route.ts';
import { inOrder } from './steps.ts';
import type { Step } from './steps.ts';
import { waitTurn } from './turn.ts';
import type { Queueing } from './turn.ts';
import { tokenExchangeGrant } from './token-exchange-grant.ts';

export interface TokenEndpointOptions {
  exchange: Pick<Exchange, 'run'>;
  audit: AuditLog;
  watch?: ExchangeWatch | undefined;
  /** Default: nobody waits for a turn. */
  queueing?: Queueing | undefined;
  /** By which the life of a token is told, ms since 1970. */
  now?: (token: Token) => number;
}

export const GRANTS: readonly TokenGrant[] = [clientCredentialsGrant, tokenExchangeGrant, jwtBearerGrant];
const BY_TYPE: ReadonlyMap<string, TokenGrant> = new Map(GRANTS.map((grant) => [grant.type, grant]));

/** As metadata names them (RFC 8414 `grant_types_supported`). */
export const GRANT_TYPES: readonly string[] = [...BY_TYPE.keys()];

const KNOWN = known(...GRANTS.map(({ parameters }) => parameters));

/** `POST /oauth/token` (RFC 6749 §3.2), as Auth0's endpoint of that name. */
export function tokenEndpoint(options: TokenEndpointOptions): Route {
  const run = inOrder(STEPS, refuse);
  return { path: '/oauth/token', method: 'POST', whole: true, ownTurn: true, handle: (call) => run(new TokenRequest(call, options)) };
}

/** What is known of one request so far. */
class TokenRequest implements Receiving {
  readonly startedAt = performance.now();
  readonly call: Call;
  readonly options: TokenEndpointOptions;
  readonly trace: Trace = {};
  body = NOTHING;
  sent: Sent | undefined = undefined;
  grant: TokenGrant | undefined = undefined;
  asked: Asked | undefined = undefined;
  served: Served | undefined = undefined;
  expiresIn = 0;
  waited = false;

  constructor(call: Call, options: TokenEndpointOptions) {
    this.call = call;
    this.options = options;
  }
}

/** What the steps before have filled in. */
type Parsed = TokenRequest & { sent: Sent; grant: TokenGrant };
type Answered = Parsed & { asked: Asked; served: Served };

const STEPS = [
  refuseQuery,
  receiveBody,
  readParameters,
  chooseGrant,
  readGrant,
  takeTurn,
  takeToken,
  writeAudit,
  reply,
] as Step<TokenRequest>[];

function readParameters(request: TokenRequest): void {
  request.sent = sentIn(request, KNOWN);
}

function chooseGrant(request: Parsed): void {
  const grant = BY_TYPE.get(required(request.sent, 'grant_type'));
  if (grant === undefined) throw new PosternError('unsupported_grant_type', `Unsupported grant type: use ${GRANT_TYPES.join(' or ')}`);
  request.grant = grant;
}

function readGrant(request: Parsed): void {
  request.asked = request.grant.read(request.call, request.sent);
}

function takeTurn({ asked, call, options }: Answered): void | Promise<void> {
  return waitTurn(options.queueing, call, asked.credential);
}

function takeToken(request: Answered): void | Promise<void> {
  const { asked, call, options, trace } = request;
  const running = options.exchange.run(asked.credential, asked.request, call.address, trace);
  if (!(running instanceof Promise)) request.served = running;
  else {
    request.waited = true;
    return running.then((served) => {
      request.served = served;
    });
  }
}

/** Before the reply, so that no token goes out that the audit knows nothing of. */
function writeAudit(request: Answered): void {
  const { options, served } = request;
  request.expiresIn = served.token.remaining((options.now ?? Date.now)(served.token));
  const attempt = attemptOf(request);
  options.audit.write(granted(attempt, served, request.expiresIn));
  options.watch?.granted(attempt, served);
}

function reply({ call, expiresIn, grant, sent, served, trace }: Answered): void {
  replyToken(call, served.token.reply(expiresIn, grant.members(sent)), trace.admission?.fields);
}

function refuse(request: TokenRequest, error: unknown): never {
  const { asked, call, grant, options, sent, trace } = request;
  addFields(call, trace.admission?.fields);
  let answered = error;
  if (asked !== undefined && sent !== undefined && grant?.refuse !== undefined) {
    try {
      grant.refuse(error, sent, asked.credential);
    } catch (reworded) {
      answered = reworded;
    }
  }
  const attempt = attemptOf(request);
  writeRefusal(options.audit, () => refused(attempt, answered), refusalOf(grant?.door ?? 'token', trace, answered));
  options.watch?.refused(attempt, answered);
  throw answered;
}

function attemptOf({ asked, call, grant, sent, startedAt, trace, waited }: TokenRequest) {
  return {
    door: grant?.door ?? 'token',
    clientId: asked?.credential.clientId ?? sent?.get('client_id'),
    audience: asked?.request.audience ?? optional(sent, 'audience'),
    trace,
    address: call.address,
    requestId: call.id,
    startedAt,
    waited,
  };
}
