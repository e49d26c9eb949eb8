import { granted, refused, strangerOf } from '#broker/audit/exchange-event.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { AppRoleCredential } from '#broker/credential/approle.ts';
import { PosternError } from '#broker/error.ts';
import type { Served } from '#broker/token/cache.ts';
import type { Exchange, Trace } from '#broker/token/exchange.ts';
import { replyInTurn } from './reply.ts';
import type { Call, Route } from './route.ts';
import { bodyIsLeft, linger } from './unread.ts';
import { shownCredential } from './verify-credential.ts';
import { Demands } from './verify-demand.ts';
import type { Demand } from './verify-demand.ts';
import { refuseKey } from './verify-refusal.ts';

export interface VerifyEndpointOptions {
  exchange: Pick<Exchange, 'run'>;
  audit: AuditLog;
  now?: () => number;
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
  const now = options.now ?? Date.now;
  const demands = new Demands();
  const demandOf = ({ request }: Call): Demand => demands.of(request.url ?? '');

  const handle = (call: Call): void | Promise<void> => {
    const startedAt = performance.now();
    const trace: Trace = {};
    let demand: Demand | undefined;
    let credential: AppRoleCredential | undefined;
    const attempt = () => ({
      door: 'verify' as const,
      clientId: credential?.clientId,
      audience: demand?.audience,
      trace,
      address: call.address,
      startedAt,
    });
    const allow = (demand: Demand, served: Served): void => {
      const allowed = allowedBy(served);
      requireScopes(demand, allowed);
      // First, so that no token goes out of which the audit knows nothing.
      options.audit.write(granted(attempt(), served, served.token.remaining(now())));
      reply(call, allowed);
    };
    const refuse = (error: unknown): never => {
      options.audit.write(refused(attempt(), error), strangerOf('verify', trace, error));
      throw error;
    };
    try {
      const asked = (demand = demandOf(call));
      credential = shownCredential(call.request.headers);
      const running = options.exchange.run(credential, asked.request, call.address, trace);
      if (running instanceof Promise) return running.then((served) => allow(asked, served)).catch(refuse);
      allow(asked, running);
    } catch (error) {
      refuse(error);
    }
  };

  const refuse = (call: Call, error: PosternError): void => {
    let demand: Demand | undefined;
    try {
      demand = demandOf(call);
    } catch {
      // Then this is the error.
    }
    refuseKey(call, error, demand);
  };
  return [
    { path: '/verify', method: 'any', handle, refuse },
    { path: '/verify/', prefix: true, method: 'any', handle, refuse },
  ];
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
        detail: `the stored token of ${grant.tenant} for ${grant.api} is none: delete it from the token cache`,
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

/** Of the token itself, which is what the service will look at. */
function requireScopes(demand: Demand, { scopes }: Allowed): void {
  for (const scope of demand.scopes) {
    if (!scopes.has(scope)) throw new PosternError('insufficient_scope', 'The API key lacks a scope that the gateway requires');
  }
}

function reply({ request, response }: Call, { headers }: Allowed): void {
  if (!bodyIsLeft(request)) return replyInTurn(response, headers, '');
  linger(request);
  replyInTurn(response, [...headers, 'Connection', 'close'], '');
}
