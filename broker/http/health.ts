import type { Sender } from '#broker/client-address.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface Readiness {
  /** What is missing before this replica can serve, in words for an operator; empty when ready. */
  missing(): readonly string[];
  /** Why it serves only those that it knows already, in words; empty or left out: it serves all. */
  degraded?(): readonly string[];
  /** What an operator must know though it serves; `postern doctor --url` shows it. */
  warnings?(): readonly string[];
}

export interface ClientAddressSettings {
  /** Whether Vault is told clients' addresses. */
  readonly forwards: boolean;
  /** Whether this request's X-Forwarded-For counts. */
  readonly believes: (request: Sender) => boolean;
}

const NOBODY: ClientAddressSettings = { forwards: false, believes: () => false };

/**
 * `/livez`: the process answers. `/readyz`: it can serve. A Vault that doesn't answer makes no replica unready that was ready: that hits
 * all replicas, whose warm tokens are then worth the most, and taking them all out of rotation would end what still works. It is told
 * as `degraded`, with 200. What hits this replica alone makes it unready.
 *
 * `client_address` says nothing of any client: it is about settings and about the very request that asks, for `postern doctor --url`, which
 * asks by the way that clients take.
 */
export function healthRoutes(readiness: Readiness, { forwards, believes }: ClientAddressSettings = NOBODY): Route[] {
  return [
    { path: '/livez', method: 'GET', early: true, handle: (call) => replyJson(call, 200, '{"status":"alive"}') },
    {
      path: '/readyz',
      method: 'GET',
      early: true,
      handle: (call) => {
        const { request } = call;
        const missing = readiness.missing();
        const warnings = readiness.warnings?.() ?? [];
        const why = readiness.degraded?.() ?? [];
        const status = why.length > 0 ? { status: 'degraded', why } : { status: 'ready' };
        const proxied = request.headers['x-forwarded-for'] !== undefined;
        const heard = proxied ? { x_forwarded_for: believes(request) ? 'believed' : 'ignored' } : {};
        const body = {
          ...status,
          client_address: { forwarded_to_vault: forwards, ...heard },
          ...(warnings.length > 0 ? { warnings } : {}),
        };
        if (missing.length === 0) replyJson(call, 200, JSON.stringify(body));
        else replyJson(call, 503, JSON.stringify({ status: 'not ready', missing }));
      },
    },
  ];
}
