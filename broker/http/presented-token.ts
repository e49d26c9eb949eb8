import { strangerOf } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { tokenEvent } from '#broker/audit/token-event.ts';
import type { TokenEvent } from '#broker/audit/token-event.ts';
import { decide } from '#broker/credential/generations.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { CredentialVerifier } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import type { TokenTrace } from '#broker/token/introspection.ts';
import { parseBody, readBody } from './body.ts';
import type { Parameters } from './body.ts';
import { identify } from './client-authentication.ts';
import type { Call, Route } from './route.ts';

export interface PresentedTokenOptions {
  verifier: CredentialVerifier;
  /** Whether something changed about the caller's tenant while it was decided: then it is decided again. */
  generations: Pick<Generations, 'now' | 'since'>;
  audit: AuditLog;
}

/** What became of a token, and how the client is told once that is in the audit. */
export interface Decision {
  readonly outcome: Exclude<TokenEvent['outcome'], 'refused'>;
  reply(call: Call): void;
}

/**
 * An endpoint to which an authenticated client presents one token (RFC 7662 §2.1, RFC 7009 §2.1). `token_type_hint` is
 * optional and only ever makes a search faster: there is one type of token here, so nothing is to be gained from it.
 */
export function presentedTokenRoute(
  path: string,
  event: TokenEvent['event'],
  { verifier, generations, audit }: PresentedTokenOptions,
  decideOn: (identity: Identity, token: string, trace: TokenTrace) => Promise<Decision>,
): Route {
  return {
    path,
    method: 'POST',
    async handle(call: Call): Promise<void> {
      const startedAt = performance.now();
      const trace: TokenTrace = {};
      let parameters: Parameters | undefined;
      const attempt = () => ({
        event,
        address: call.address,
        startedAt,
        clientId: parameters?.get('client_id'),
        presented: parameters?.get('token'),
        trace,
      });
      try {
        refuseQuery(call);
        parameters = parseBody(call.request.headers['content-type'], await readBody(call.request));
        const token = requireToken(parameters);
        const given = parameters;
        const deciding = async (again: boolean) => {
          const identity = await identify(call, given, verifier, again);
          trace.identity = identity;
          return { tenant: identity.tenant, ...(await decideOn(identity, token, trace)) };
        };
        const decision = await decide(generations, deciding, ({ tenant }) => tenant);
        // First, so that nothing is told of which the audit knows nothing.
        audit.write(tokenEvent(attempt(), { outcome: decision.outcome }));
        decision.reply(call);
      } catch (error) {
        audit.write(tokenEvent(attempt(), { error }), strangerOf(event, trace, error));
        throw error;
      }
    },
  };
}

/** Tokens and credentials never go into the URI, where logs would keep them. */
function refuseQuery({ request }: Call): void {
  if (request.url?.includes('?')) throw new PosternError('invalid_request', 'Parameters must be in the request body, not in the URI');
}

function requireToken(parameters: Parameters): string {
  const token = parameters.get('token') ?? '';
  if (token === '') throw new PosternError('invalid_request', 'Missing required parameter: token');
  return token;
}
