import { granted, refused, strangerOf } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { PosternError } from '#broker/error.ts';
import type { Exchange } from '#broker/token/exchange.ts';
import { optional, parseBody, readBody } from './body.ts';
import type { Parameters } from './body.ts';
import { clientCredentialsGrant } from './client-credentials-grant.ts';
import type { GrantRun, TokenGrant } from './grant.ts';
import { replyToken } from './reply.ts';
import type { Call, Route } from './route.ts';
import { tokenExchangeGrant } from './token-exchange-grant.ts';

export interface TokenEndpointOptions {
  exchange: Pick<Exchange, 'run'>;
  audit: AuditLog;
  now?: () => number;
}

const GRANTS: ReadonlyMap<string, TokenGrant> = new Map([clientCredentialsGrant, tokenExchangeGrant].map((grant) => [grant.type, grant]));

/** As metadata names them (RFC 8414 `grant_types_supported`). */
export const GRANT_TYPES: readonly string[] = [...GRANTS.keys()];

/** `POST /oauth/token` (RFC 6749 §3.2), as Auth0's endpoint of that name. */
export function tokenEndpoint(options: TokenEndpointOptions): Route {
  const now = options.now ?? Date.now;
  return {
    path: '/oauth/token',
    method: 'POST',
    async handle(call: Call): Promise<void> {
      const startedAt = performance.now();
      const run: GrantRun = { exchange: options.exchange, trace: {}, clientId: undefined };
      let parameters: Parameters | undefined;
      let grant: TokenGrant | undefined;
      const attempt = () => ({
        door: grant?.door ?? 'token',
        clientId: run.clientId ?? parameters?.get('client_id'),
        audience: optional(parameters, 'audience'),
        trace: run.trace,
        address: call.address,
        startedAt,
      });
      try {
        refuseQuery(call);
        parameters = parseBody(call.request.headers['content-type'], await readBody(call.request));
        grant = grantOf(parameters);
        const running = grant.run(call, parameters, run);
        const served = running instanceof Promise ? await running : running;
        const expiresIn = served.token.remaining(now());
        // First, so that no token goes out of which the audit knows nothing.
        options.audit.write(granted(attempt(), served, expiresIn));
        replyToken(call.response, served.token.replyHead, expiresIn, grant.members(parameters));
      } catch (error) {
        options.audit.write(refused(attempt(), error), strangerOf(grant?.door ?? 'token', run.trace, error));
        throw error;
      }
    },
  };
}

/** RFC 6749 §2.3.1, §3.2: credentials never go into the URI, where logs would keep them. */
function refuseQuery({ request }: Call): void {
  if (request.url?.includes('?')) throw new PosternError('invalid_request', 'Parameters must be in the request body, not in the URI');
}

function grantOf(parameters: Parameters): TokenGrant {
  const type = optional(parameters, 'grant_type');
  if (type === undefined) throw new PosternError('invalid_request', 'Missing required parameter: grant_type');
  const grant = GRANTS.get(type);
  if (grant === undefined) throw new PosternError('unsupported_grant_type', `Unsupported grant type: use ${GRANT_TYPES.join(' or ')}`);
  return grant;
}
