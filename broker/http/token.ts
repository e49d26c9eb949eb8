import { granted, refused } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { PosternError } from '#broker/error.ts';
import type { ClientCredential } from '#broker/credential/verifier.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange, Trace } from '#broker/token/exchange.ts';
import { parseBody, readBody } from './body.ts';
import type { Parameters } from './body.ts';
import { clientCredential } from './client-authentication.ts';
import { replyToken } from './reply.ts';
import type { Call, Route } from './route.ts';

export interface TokenEndpointOptions {
  exchange: Pick<Exchange, 'run'>;
  audit: AuditLog;
  now?: () => number;
}

/** `POST /oauth/token`, grant type client_credentials (RFC 6749 §4.4), as Auth0's endpoint of that name. */
export function tokenEndpoint(options: TokenEndpointOptions): Route {
  const now = options.now ?? Date.now;
  return {
    path: '/oauth/token',
    method: 'POST',
    async handle(call: Call): Promise<void> {
      const startedAt = performance.now();
      const trace: Trace = {};
      let parameters: Parameters | undefined;
      let credential: ClientCredential | undefined;
      const attempt = () => ({ clientId: credential?.clientId ?? parameters?.get('client_id'), audience: optional(parameters, 'audience'), trace, address: call.address, startedAt });
      try {
        refuseQuery(call);
        parameters = parseBody(call.request.headers['content-type'], await readBody(call.request));
        requireClientCredentialsGrant(parameters);
        credential = clientCredential(call.request, parameters);
        const running = options.exchange.run(
          credential,
          { audience: optional(parameters, 'audience'), scope: optional(parameters, 'scope'), organization: optional(parameters, 'organization') },
          call.address,
          trace,
        );
        const served: Served = running instanceof Promise ? await running : running;
        const expiresIn = served.token.remaining(now());
        // First, so that no token goes out of which the audit knows nothing.
        options.audit.write(granted(attempt(), served, expiresIn));
        replyToken(call.response, served.token.replyHead, expiresIn);
      } catch (error) {
        options.audit.write(refused(attempt(), error));
        throw error;
      }
    },
  };
}

/** RFC 6749 §2.3.1, §3.2: credentials never go into the URI, where logs would keep them. */
function refuseQuery({ request }: Call): void {
  if (request.url?.includes('?')) throw new PosternError('invalid_request', 'Parameters must be in the request body, not in the URI');
}

function requireClientCredentialsGrant(parameters: Parameters): void {
  const grantType = optional(parameters, 'grant_type');
  if (grantType === undefined) throw new PosternError('invalid_request', 'Missing required parameter: grant_type');
  if (grantType !== 'client_credentials') throw new PosternError('unsupported_grant_type', 'Unsupported grant type: use client_credentials');
}

function optional(parameters: Parameters | undefined, name: string): string | undefined {
  const value = parameters?.get(name);
  return value === '' ? undefined : value;
}
