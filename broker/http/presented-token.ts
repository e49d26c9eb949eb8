import { refusalOf, writeRefusal } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { tokenEvent } from '#broker/audit/token-event.ts';
import type { TokenEvent } from '#broker/audit/token-event.ts';
import { decide } from '#broker/credential/generations.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { ClientCredential, CredentialVerifier } from '#broker/credential/verifiers.ts';
import type { TokenTrace } from '#broker/token/introspection.ts';
import { NOTHING, known, receiveBody, sentIn } from './body.ts';
import type { Receiving } from './body.ts';
import { CLIENT_PARAMETERS, requiredCredential } from './client-authentication.ts';
import { refuseQuery, required } from './parameter.ts';
import type { Parameters, Sent } from './parameter.ts';
import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import type { Call, Route } from './route.ts';
import { inOrder } from './steps.ts';
import type { Step } from './steps.ts';
import { waitTurn } from './turn.ts';
import type { Queueing } from './turn.ts';

export interface PresentedTokenOptions {
  verifier: CredentialVerifier;
  /** Whether something changed about the caller's tenant while it was decided: then it is decided again. */
  generations: Pick<Generations, 'now' | 'since'>;
  audit: AuditLog;
  watch?: ExchangeWatch | undefined;
  /** Default: nobody waits for a turn. */
  queueing?: Queueing | undefined;
}

/** What became of a token, and how the client is told once that is in the audit. */
export interface Decision {
  readonly outcome: Exclude<TokenEvent['outcome'], 'refused'>;
  reply(call: Call): void;
}

/** With nothing about the caller left to check. */
export type Decide = (identity: Identity, token: string, trace: TokenTrace) => Promise<Decision>;

/** There is one type of token here, so a hint, which only ever makes a search faster, changes nothing. */
export const PRESENTED_PARAMETERS: Parameters = {
  token: { description: 'An access token.', required: true },
  token_type_hint: { description: 'Not needed: there are access tokens only.' },
  ...CLIENT_PARAMETERS,
};
const KNOWN = known(PRESENTED_PARAMETERS);

/** An endpoint to which an authenticated client presents one token (RFC 7662 §2.1, RFC 7009 §2.1). */
export function presentedTokenRoute(path: string, event: TokenEvent['event'], options: PresentedTokenOptions, decide: Decide): Route {
  const run = inOrder(STEPS, refuse);
  return { path, method: 'POST', whole: true, ownTurn: true, handle: (call) => run(new PresentedToken(call, event, options, decide)) };
}

/** What is known of one request so far. */
class PresentedToken implements Receiving {
  readonly startedAt = performance.now();
  readonly trace: TokenTrace = {};
  readonly call: Call;
  readonly event: TokenEvent['event'];
  readonly options: PresentedTokenOptions;
  readonly decide: Decide;
  body = NOTHING;
  sent: Sent | undefined = undefined;
  credential: ClientCredential | undefined = undefined;
  decision: Decision | undefined = undefined;

  constructor(call: Call, event: TokenEvent['event'], options: PresentedTokenOptions, decide: Decide) {
    this.call = call;
    this.event = event;
    this.options = options;
    this.decide = decide;
  }
}

/** What the steps before have filled in. */
type Parsed = PresentedToken & { sent: Sent; credential: ClientCredential };
type Decided = Parsed & { decision: Decision };

const STEPS = [
  refuseQuery,
  receiveBody,
  readParameters,
  requireToken,
  readCredential,
  takeTurn,
  authenticateAndDecide,
  writeAudit,
  reply,
] as Step<PresentedToken>[];

function readParameters(request: PresentedToken): void {
  request.sent = sentIn(request, KNOWN);
}

function requireToken({ sent }: Parsed): void {
  required(sent, 'token');
}

function readCredential(request: Parsed): void {
  request.credential = requiredCredential(request.call.request, request.sent);
}

function takeTurn({ call, credential, options }: Parsed): void | Promise<void> {
  return waitTurn(options.queueing, call, credential);
}

/** One step, since both are done again where something changed about the tenant meanwhile. */
async function authenticateAndDecide(request: Parsed): Promise<void> {
  const { call, credential, options, sent, trace } = request;
  const token = required(sent, 'token');
  const deciding = async (again: boolean) => {
    const identity = await options.verifier.verify(credential, call.address, again);
    trace.identity = identity;
    return { tenant: identity.tenant, decision: await request.decide(identity, token, trace) };
  };
  request.decision = (await decide(options.generations, deciding, ({ tenant }) => tenant)).decision;
}

/** Before the reply, so that nothing is told that the audit knows nothing of. */
function writeAudit(request: Decided): void {
  const { decision, event, options } = request;
  options.audit.write(tokenEvent(attemptOf(request), { outcome: decision.outcome }));
  options.watch?.presented(event, decision.outcome);
}

function reply({ call, decision }: Decided): void {
  decision.reply(call);
}

function refuse(request: PresentedToken, error: unknown): never {
  const { event, options, trace } = request;
  writeRefusal(options.audit, () => tokenEvent(attemptOf(request), { error }), refusalOf(event, trace, error));
  options.watch?.presented(event, 'refused', error);
  throw error;
}

function attemptOf({ call, event, sent, startedAt, trace }: PresentedToken) {
  return {
    event,
    address: call.address,
    requestId: call.id,
    startedAt,
    clientId: sent?.get('client_id'),
    presented: sent?.get('token'),
    trace,
  };
}
